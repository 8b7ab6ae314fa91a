//! The error codes of Tencent Cloud KMS.
//!
//! <https://cloud.tencent.com/document/api/573/34432>

use serde::Deserialize;
use serde::de::DeserializeOwned;
use wxpay_auth_core::SignErrorKind as Kind;

use super::SERVICE;
use crate::cloud::error_codes::{CLOCK_HINT, Code, TOKEN_HINT};
use crate::cloud::refusal::refusal;
use crate::credentials::provider::Credentials;
use crate::credentials::request_failure::RequestFailure;
use crate::http::client::Response;

#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(rename = "Response")]
    response: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    error: Option<Refused>,
    request_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refused {
    code: String,
    #[serde(default)]
    message: String,
}

/// Parses the envelope of a response. Failures have the status 200, too.
pub(super) fn read<T: DeserializeOwned>(
    response: &Response,
    credentials: &Credentials,
) -> Result<T, RequestFailure> {
    let outcome = response.json::<Envelope<Outcome>>()?.response;
    let request_id = outcome.request_id.as_deref();
    if let Some(Refused { code, message }) = &outcome.error {
        let said = (code.as_str(), message.as_str(), request_id);
        let error = refusal(SERVICE, CODES, response, said, credentials);
        let of_credentials = CREDENTIALS.contains(&code.as_str());
        return Err(if of_credentials {
            RequestFailure::Credential
        } else {
            RequestFailure::Other
        }(error));
    }
    match response.json::<Envelope<T>>() {
        Ok(envelope) if response.status.is_success() => Ok(envelope.response),
        _ => {
            let error = response.not_understood();
            Err(match request_id {
                Some(request_id) => error.with_request_id(request_id),
                None => error,
            })?
        }
    }
}

/// The codes that refuse an access key, perhaps because it has expired.
const CREDENTIALS: &[&str] =
    &["AuthFailure.TokenFailure", "AuthFailure.SecretIdNotFound", "AuthFailure.InvalidSecretId"];

const SECRET_ID: Option<&str> =
    Some("check the SecretId: it is unknown, disabled, or a temporary one that has expired");
const ENABLE: Option<&str> = Some("enable the key in the console of KMS, and cancel its deletion");
const KEY_ID: Option<&str> =
    Some("check the id of the key, and that it lies in the region that is set");
const KEY_KIND: Option<&str> =
    Some("use a key made for ASYMMETRIC_SIGN_VERIFY_RSA_2048, in a region that has them");
const REQUEST: Option<&str> =
    Some("check region, key id and endpoint; where they are right, report it");

const CODES: &[Code] = &[
    ("AuthFailure", Kind::PermissionDenied, None),
    ("AuthFailure.InvalidSecretId", Kind::PermissionDenied, SECRET_ID),
    ("AuthFailure.SecretIdNotFound", Kind::PermissionDenied, SECRET_ID),
    ("AuthFailure.SignatureExpire", Kind::Configuration, Some(CLOCK_HINT)),
    (
        "AuthFailure.SignatureFailure",
        Kind::PermissionDenied,
        Some(
            "check that the SecretKey belongs to the SecretId, and that no proxy changes the host",
        ),
    ),
    ("AuthFailure.TokenFailure", Kind::PermissionDenied, Some(TOKEN_HINT)),
    ("AuthFailure.UnauthorizedOperation", Kind::PermissionDenied, PERMIT),
    ("InternalError", Kind::Unavailable, None),
    ("InvalidAction", Kind::Configuration, REQUEST),
    ("InvalidParameter", Kind::Configuration, REQUEST),
    ("InvalidParameterValue", Kind::Configuration, REQUEST),
    ("InvalidParameterValue.InvalidKeyId", Kind::KeyNotFound, KEY_ID),
    ("InvalidParameterValue.InvalidKeyUsage", Kind::Unsupported, KEY_KIND),
    ("IpInBlacklist", Kind::PermissionDenied, None),
    ("IpNotInWhitelist", Kind::PermissionDenied, None),
    ("MissingParameter", Kind::Configuration, REQUEST),
    ("NoSuchVersion", Kind::Configuration, REQUEST),
    ("RequestLimitExceeded", Kind::Throttled, None),
    ("ResourceNotFound", Kind::KeyNotFound, KEY_ID),
    ("ResourceUnavailable.CmkArchived", Kind::Configuration, ENABLE),
    ("ResourceUnavailable.CmkDisabled", Kind::Configuration, ENABLE),
    ("ResourceUnavailable.CmkNotFound", Kind::KeyNotFound, KEY_ID),
    ("ResourceUnavailable.CmkStateNotSupport", Kind::Configuration, ENABLE),
    ("ResourceUnavailable.KeyDisabled", Kind::Configuration, ENABLE),
    ("ResourceUnavailable.KeyPendingDelete", Kind::Configuration, ENABLE),
    (
        "ResourceUnavailable.NotPurchased",
        Kind::Configuration,
        Some("activate KMS for this account in the console"),
    ),
    ("ServiceUnavailable", Kind::Unavailable, None),
    ("UnauthorizedOperation", Kind::PermissionDenied, PERMIT),
    ("UnsupportedOperation", Kind::Unsupported, KEY_KIND),
    ("UnsupportedOperation.ServiceTemporaryUnavailable", Kind::Unavailable, None),
    ("UnsupportedProtocol", Kind::Configuration, REQUEST),
    ("UnsupportedRegion", Kind::Configuration, REQUEST),
];

const PERMIT: Option<&str> =
    Some("permit kms:GetPublicKey and kms:SignByAsymmetricKey on this key (docs/kms.md)");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KmsError;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Signed {
        signature: String,
    }

    fn read(status: u16, body: &str) -> Result<Signed, RequestFailure> {
        let credentials = Credentials::new("AKID", "hunter2").with_session_token("hunter3");
        super::read(&Response::of(SERVICE, status, body), &credentials)
    }

    fn refused(status: u16, body: &str) -> KmsError {
        read(status, body).unwrap_err().into()
    }

    fn coded(code: &str) -> String {
        format!(
            r#"{{"Response":{{"Error":{{"Code":"{code}","Message":"No, hunter2."}},"RequestId":"7c1b"}}}}"#
        )
    }

    #[test]
    fn an_error_with_the_status_200_is_one() {
        let error = refused(200, &coded("ResourceUnavailable.CmkNotFound"));
        assert_eq!(
            error.to_string(),
            "Tencent Cloud KMS refuses: No, […]. (ResourceUnavailable.CmkNotFound) [request-id 7c1b]"
        );
        // Even together with a signature.
        let both = r#"{"Response":{"Signature":"AAAA","Error":{"Code":"InternalError"}}}"#;
        assert_eq!(refused(200, both).kind(), Kind::Unavailable);
    }

    #[test]
    fn codes_have_kinds() {
        for (code, kind) in [
            ("AuthFailure.SignatureExpire", Kind::Configuration),
            ("AuthFailure.SignatureFailure", Kind::PermissionDenied),
            ("AuthFailure.MFAFailure", Kind::PermissionDenied),
            ("UnauthorizedOperation", Kind::PermissionDenied),
            ("UnauthorizedOperation.CamNoAuth", Kind::PermissionDenied),
            ("RequestLimitExceeded", Kind::Throttled),
            ("RequestLimitExceeded.UinLimitExceeded", Kind::Throttled),
            ("InternalError.Whatever", Kind::Unavailable),
            ("ResourceUnavailable.CmkNotFound", Kind::KeyNotFound),
            ("ResourceUnavailable.CmkDisabled", Kind::Configuration),
            ("InvalidParameterValue.InvalidKeyId", Kind::KeyNotFound),
            ("UnsupportedOperation.UnsupportedKeyUsageInCurrentRegion", Kind::Unsupported),
            ("UnsupportedOperation.ServiceTemporaryUnavailable", Kind::Unavailable),
            ("FailedOperation.SignError", Kind::Other),
            ("SomethingNew", Kind::Other),
        ] {
            let error = refused(200, &coded(code));
            assert_eq!((error.kind(), error.code()), (kind, Some(code)));
        }
        assert!(refused(200, &coded("AuthFailure.SignatureExpire")).hint().contains("clock"));
        assert_eq!(refused(503, &coded("SomethingNew")).kind(), Kind::Unavailable);
    }

    #[test]
    fn the_access_key_is_to_blame_or_not() {
        for code in CREDENTIALS {
            assert!(
                matches!(read(200, &coded(code)), Err(RequestFailure::Credential(_))),
                "{code}"
            );
        }
        for code in ["AuthFailure.SignatureFailure", "InternalError", "UnauthorizedOperation"] {
            assert!(matches!(read(200, &coded(code)), Err(RequestFailure::Other(_))), "{code}");
        }
    }

    #[test]
    fn other_answers_are_not_understood() {
        let body = r#"{"Response":{"Signature":"AAAA","RequestId":"7c1b"}}"#;
        assert_eq!(read(200, body).unwrap().signature, "AAAA");
        for (status, body, kind) in [
            (200, "", Kind::Configuration),
            (200, "<html>", Kind::Configuration),
            (502, "<html>", Kind::Unavailable),
            (500, body, Kind::Unavailable),
            (200, r#"{"Signature":"AAAA"}"#, Kind::Configuration),
            (200, r#"{"Response":{"Signature":7}}"#, Kind::Configuration),
            (200, r#"{"Response":{"Error":"no"}}"#, Kind::Configuration),
        ] {
            assert_eq!(refused(status, body).kind(), kind, "{status} {body}");
        }
        let error = refused(200, r#"{"Response":{"RequestId":"7c1b"}}"#);
        assert_eq!(error.request_id(), Some("7c1b"));
    }
}
