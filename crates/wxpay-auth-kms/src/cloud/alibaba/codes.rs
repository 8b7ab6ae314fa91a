//! The error codes of Alibaba Cloud KMS.
//!
//! <https://www.alibabacloud.com/help/en/kms/key-management-service/developer-reference/common-error-codes-1>

use serde::Deserialize;
use serde::de::DeserializeOwned;
use wxpay_auth_core::SignErrorKind as Kind;

use super::SERVICE;
use crate::cloud::error_codes::{CLOCK_HINT, Code, TOKEN_HINT, look_up};
use crate::cloud::refusal::refusal;
use crate::credentials::provider::Credentials;
use crate::credentials::request_failure::RequestFailure;
use crate::error::KmsError;
use crate::http::client::Response;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
}

/// Parses a response. A response with an error code is a failure, whatever its status.
pub(super) fn read<T: DeserializeOwned>(
    response: &Response,
    credentials: &Credentials,
) -> Result<T, RequestFailure> {
    let outcome: Outcome = response.json()?;
    let request_id = outcome.request_id.or_else(|| response.header("x-acs-request-id"));
    let request_id = request_id.as_deref();
    if let Some(code) = &outcome.code {
        let message = match &outcome.message {
            // Their messages quote the signed text, which includes the session token.
            _ if look_up(SIGNATURES, code).is_some() => "the signature of the request is not right",
            message => message.as_deref().unwrap_or_default(),
        };
        let error = refusal(SERVICE, CODES, response, (code, message, request_id), credentials);
        let of_credentials = look_up(CREDENTIALS, code).is_some();
        return Err(if of_credentials {
            RequestFailure::Credential
        } else {
            RequestFailure::Other
        }(error));
    }
    let not_understood = || -> KmsError {
        let error = response.not_understood();
        match request_id {
            Some(request_id) => error.with_request_id(request_id),
            None => error,
        }
    };
    if !response.status.is_success() {
        return Err(not_understood().into());
    }
    response.json().map_err(|_| not_understood().into())
}

/// The codes that refuse an access key, perhaps because it has expired.
const CREDENTIALS: &[Code] = &[
    ("InvalidAccessKeyId", Kind::PermissionDenied, None),
    ("InvalidSecurityToken", Kind::PermissionDenied, None),
];

const SIGNATURES: &[Code] = &[
    ("IncompleteSignature", Kind::PermissionDenied, None),
    ("InvalidSignature", Kind::PermissionDenied, None),
    ("SignatureDoesNotMatch", Kind::PermissionDenied, None),
];

const ENABLE: Option<&str> =
    Some("enable the key in the console of KMS, import its material, or cancel its deletion");
const KEY_ID: Option<&str> =
    Some("check the id of the key and of its version, and that they lie in the region that is set");
const KEY_KIND: Option<&str> = Some(
    "use a key of the kind RSA_2048, made for SIGN/VERIFY if it is to sign, for ENCRYPT/DECRYPT if it is to decrypt",
);
const PERMIT: Option<&str> = Some(
    "permit kms:GetPublicKey and kms:AsymmetricSign (or kms:AsymmetricDecrypt) on this key (docs/kms.md)",
);
const REQUEST: Option<&str> =
    Some("check region, key id, version and endpoint; where they are right, report it");
const SECRET: Option<&str> = Some(
    "check that the AccessKeySecret belongs to the AccessKeyId, and that no proxy changes the host",
);

const CODES: &[Code] = &[
    ("Forbidden", Kind::PermissionDenied, PERMIT),
    ("Forbidden.AliasNotFound", Kind::KeyNotFound, KEY_ID),
    ("Forbidden.KeyNotFound", Kind::KeyNotFound, KEY_ID),
    ("Forbidden.KeyVersionNotFound", Kind::KeyNotFound, KEY_ID),
    ("IllegalTimestamp", Kind::Configuration, Some(CLOCK_HINT)),
    ("IncompleteSignature", Kind::PermissionDenied, SECRET),
    ("InternalError", Kind::Unavailable, None),
    ("InternalFailure", Kind::Unavailable, None),
    (
        "InvalidAccessKeyId",
        Kind::PermissionDenied,
        Some("check the AccessKeyId: it is unknown, disabled, or a temporary one that has expired"),
    ),
    ("InvalidAction", Kind::Configuration, REQUEST),
    ("InvalidApi", Kind::Configuration, REQUEST),
    ("InvalidParameter", Kind::Configuration, REQUEST),
    ("InvalidProduct", Kind::Configuration, REQUEST),
    ("InvalidSecurityToken", Kind::PermissionDenied, Some(TOKEN_HINT)),
    ("InvalidSignature", Kind::PermissionDenied, SECRET),
    ("InvalidTimeStamp", Kind::Configuration, Some(CLOCK_HINT)),
    ("InvalidVersion", Kind::Configuration, REQUEST),
    ("MissingParameter", Kind::Configuration, REQUEST),
    ("MissingSecurityToken", Kind::PermissionDenied, Some(TOKEN_HINT)),
    ("NoPermission", Kind::PermissionDenied, PERMIT),
    ("Rejected.Disabled", Kind::Configuration, ENABLE),
    ("Rejected.PendingDeletion", Kind::Configuration, ENABLE),
    ("Rejected.PendingImport", Kind::Configuration, ENABLE),
    ("Rejected.Throttling", Kind::Throttled, None),
    ("Rejected.Unavailable", Kind::Unavailable, None),
    ("RequestTimeTooSkewed", Kind::Configuration, Some(CLOCK_HINT)),
    ("ServiceUnavailable", Kind::Unavailable, None),
    ("ServiceUnavailableTemporary", Kind::Unavailable, None),
    ("SignatureDoesNotMatch", Kind::PermissionDenied, SECRET),
    // The next attempt has another nonce.
    ("SignatureNonceUsed", Kind::Unavailable, None),
    ("Throttling", Kind::Throttled, None),
    ("UnsupportedOperation", Kind::Unsupported, KEY_KIND),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Signed {
        value: String,
    }

    fn read(status: u16, body: &str) -> Result<Signed, RequestFailure> {
        let credentials = Credentials::new("LTAI", "hunter2").with_session_token("hunter3");
        super::read(&Response::of(SERVICE, status, body), &credentials)
    }

    fn refused(status: u16, body: &str) -> KmsError {
        read(status, body).unwrap_err().into()
    }

    fn coded(code: &str) -> String {
        format!(r#"{{"Code":"{code}","Message":"No: x:hunter3.","RequestId":"7C1B","HostId":"h"}}"#)
    }

    #[test]
    fn an_error_is_one_whatever_its_status() {
        for status in [200, 404] {
            assert_eq!(
                refused(status, &coded("Forbidden.KeyNotFound")).to_string(),
                "Alibaba Cloud KMS refuses: No: x:[…]. (Forbidden.KeyNotFound) [request-id 7C1B]"
            );
        }
        let both = r#"{"Value":"AAAA","Code":"InternalFailure"}"#;
        assert_eq!(refused(200, both).kind(), Kind::Unavailable);
    }

    #[test]
    fn what_was_signed_is_not_quoted() {
        for code in ["SignatureDoesNotMatch", "IncompleteSignature"] {
            let error = refused(400, &coded(code));
            assert_eq!(
                error.to_string(),
                format!(
                    "Alibaba Cloud KMS refuses: the signature of the request is not right ({code}) \
                     [request-id 7C1B]"
                )
            );
        }
    }

    #[test]
    fn codes_have_kinds() {
        for (status, code, kind) in [
            (400, "InvalidTimeStamp.Expired", Kind::Configuration),
            (400, "SignatureDoesNotMatch", Kind::PermissionDenied),
            (404, "InvalidAccessKeyId.NotFound", Kind::PermissionDenied),
            (400, "InvalidSecurityToken.Expired", Kind::PermissionDenied),
            (403, "Forbidden.RAM", Kind::PermissionDenied),
            (404, "Forbidden.KeyNotFound", Kind::KeyNotFound),
            (404, "Forbidden.KeyVersionNotFound", Kind::KeyNotFound),
            (409, "Rejected.Disabled", Kind::Configuration),
            (429, "Rejected.Throttling", Kind::Throttled),
            (400, "Throttling.User", Kind::Throttled),
            (400, "SignatureNonceUsed", Kind::Unavailable),
            (503, "ServiceUnavailableTemporary", Kind::Unavailable),
            (404, "InvalidAction.NotFound", Kind::Configuration),
            (400, "UnsupportedOperation", Kind::Unsupported),
            (400, "SomethingNew", Kind::Other),
            (404, "SomethingNew.NotFound", Kind::Other),
            (503, "SomethingNew", Kind::Unavailable),
            (429, "SomethingNew", Kind::Throttled),
        ] {
            let error = refused(status, &coded(code));
            assert_eq!((error.kind(), error.code()), (kind, Some(code)));
        }
        assert!(refused(400, &coded("InvalidTimeStamp.Expired")).hint().contains("clock"));
    }

    #[test]
    fn the_access_key_is_to_blame_or_not() {
        for code in ["InvalidSecurityToken.Expired", "InvalidAccessKeyId.NotFound"] {
            assert!(
                matches!(read(400, &coded(code)), Err(RequestFailure::Credential(_))),
                "{code}"
            );
        }
        for code in ["SignatureDoesNotMatch", "InternalFailure", "Forbidden.RAM"] {
            assert!(matches!(read(400, &coded(code)), Err(RequestFailure::Other(_))), "{code}");
        }
    }

    #[test]
    fn other_answers_are_not_understood() {
        let body = r#"{"Value":"AAAA","RequestId":"7C1B"}"#;
        assert_eq!(read(200, body).unwrap().value, "AAAA");
        for (status, body, kind) in [
            (200, "", Kind::Configuration),
            (200, "<html>", Kind::Configuration),
            (502, "<html>", Kind::Unavailable),
            (500, body, Kind::Unavailable),
            (200, r#"{"Value":7}"#, Kind::Configuration),
            (200, r#"{"Code":7}"#, Kind::Configuration),
        ] {
            assert_eq!(refused(status, body).kind(), kind, "{status} {body}");
        }
        assert_eq!(refused(200, r#"{"RequestId":"7C1B"}"#).request_id(), Some("7C1B"));
    }
}
