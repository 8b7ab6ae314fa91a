//! The errors of the service.

use std::time::Duration;

use serde::Deserialize;
use wxpay_auth_core::SignErrorKind;

use crate::error::KmsError;
use crate::http::client::{Response, kind_of_status};

/// What the request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Read,
    Sign,
    LogIn,
    Renew,
}

#[derive(Deserialize)]
struct VaultRefusal {
    errors: Vec<String>,
}

const CHECK_NAMES: &str = "check the names of mount, key and namespace";
const CHECK_LOGIN: &str = "check the mount of the login, and the namespace";
const CHECK_NAMESPACE: &str = "check the namespace";
/// Without a valid token, the service does not distinguish a wrong mount from wrong credentials.
const CHECK_CREDENTIALS: &str = "check role_id and secret_id, or role and service account: they must \
                                 belong together, be valid, and be allowed to log in from here; \
                                 after several failures the service may lock the role out for a \
                                 while (15 minutes by default), and refuse valid credentials, too; \
                                 check the mount of the login, and the namespace";
const CHECK_POLICY: &str = "check that the token is valid, and that its policy allows read on \
                            MOUNT/keys/KEY and update on MOUNT/sign/KEY/sha2-256";
const TOO_OLD: &str = "the version of the key may not sign: lower min_encryption_version, or connect a \
                       new signer, with the certificate of a version that may";
const NO_VERSION: &str = "give a version that the key has";

/// Why the result of a request that needs approval was not returned.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotHad {
    /// It is not approved yet.
    Waiting,
    /// `OpenBao` says this of a request that is not approved yet; both services say it of an unknown one.
    WaitingOrLost,
    /// The token that made the request has expired, and the request with it.
    Lost,
}

/// Returns why a result was not returned, if the cause is the request for approval itself.
pub(super) fn not_had(response: &Response) -> Option<NotHad> {
    let status = response.status.as_u16();
    let refusal: VaultRefusal =
        matches!(status, 400 | 403).then(|| response.json().ok()).flatten()?;
    let said = |words| refusal.errors.iter().any(|said| said.contains(words));
    match status {
        _ if said("further approval") => Some(NotHad::Waiting),
        _ if said("wrapping token is not valid") => Some(NotHad::WaitingOrLost),
        403 if said("permission denied") => Some(NotHad::Lost),
        _ => None,
    }
}

/// Returns whether no request has this accessor.
pub(super) fn is_unknown(response: &Response) -> bool {
    let refusal =
        (response.status.as_u16() == 400).then(|| response.json::<VaultRefusal>().ok()).flatten();
    refusal.is_some_and(|refusal| refusal.errors.iter().any(|s| s.contains("invalid accessor")))
}

/// Returns the error of a response that is not a success.
pub(super) fn refusal(response: &Response, doing: Doing) -> KmsError {
    let error = sorted(response, doing);
    match error.retry_after() {
        // The header is rounded down: 0 may be almost a second.
        Some(wait) => error.with_retry_after(wait.saturating_add(Duration::from_secs(1))),
        None => error,
    }
}

fn sorted(response: &Response, doing: Doing) -> KmsError {
    let status = response.status.as_u16();
    let said = response.json::<VaultRefusal>().ok().map(|refusal| refusal.errors.join("; "));
    let (kind, hint) = match (status, said.as_deref()) {
        (301 | 302 | 307 | 308, _) => (
            SignErrorKind::Unavailable,
            Some(
                "this is a standby node that does not reach the active one, or a proxy that points \
                 elsewhere; redirects are not followed: check that the cluster has an active node, and \
                 that its nodes reach each other, or give the address of a load balancer",
            ),
        ),
        (412 | 472 | 473, _) => (
            SignErrorKind::Unavailable,
            Some("the node is a standby, or behind: give the address of the active node"),
        ),
        // The body does not come from the service.
        (_, None) => return response.not_understood(),
        (_, Some(said)) => sort(response, doing, said),
    };
    let said = said.filter(|said| !said.is_empty());
    let message = match said {
        Some(said) => format!("vault answered {status}: {said}"),
        None => format!("vault answered {status}"),
    };
    let error = response.waiting(KmsError::new(kind, message));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// Classifies by status and, if that is ambiguous, by the message.
fn sort(response: &Response, doing: Doing, said: &str) -> (SignErrorKind, Option<&'static str>) {
    use SignErrorKind::{
        Configuration, KeyNotFound, PermissionDenied, Throttled, Unavailable, Unsupported,
    };
    match (response.status.as_u16(), doing) {
        (404, _) if said.contains("namespace not found") => (Configuration, Some(CHECK_NAMESPACE)),
        // Some servers respond with 500 if the version does not exist.
        (400 | 500, Doing::Sign) if said.contains("higher than the latest key version") => {
            (KeyNotFound, Some(NO_VERSION))
        }
        (400 | 500, Doing::Sign) if said.contains("minimum") || said.contains("too old") => {
            (Configuration, Some(TOO_OLD))
        }
        (400, Doing::Sign) if said.contains("not found") => (KeyNotFound, Some(CHECK_NAMES)),
        (400, Doing::Sign) if said.contains("not support sign") => (Unsupported, None),
        (400 | 401 | 403, Doing::LogIn) => (PermissionDenied, Some(CHECK_CREDENTIALS)),
        (404 | 405, Doing::LogIn | Doing::Renew) => (Configuration, Some(CHECK_LOGIN)),
        (404, _) => (KeyNotFound, Some(CHECK_NAMES)),
        (400, _) => (Configuration, None),
        (405, _) => (Configuration, Some("check that the mount is a Transit engine")),
        (403, _) => (PermissionDenied, Some(CHECK_POLICY)),
        (429, _) => (Throttled, Some("sign less at once, or raise the quota of the service")),
        (503, _) if said.contains("sealed") => {
            (Unavailable, Some("unseal the service, or let it unseal itself"))
        }
        _ => (kind_of_status(response.status), None),
    }
}

/// Returns the error of a success without the expected data.
pub(super) fn lacking(response: &Response, remarks: &[String]) -> KmsError {
    let status = response.status.as_u16();
    let message = match remarks.join("; ") {
        said if said.is_empty() => format!("vault answered {status} without the requested data"),
        said => format!("vault answered {status} without the requested data: {said}"),
    };
    KmsError::new(SignErrorKind::Configuration, message).with_hint(
        "check that the mount is a Transit engine, that the login method is right, and that no \
             control group of the policy has a ttl of 0",
    )
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn response(status: u16, body: &str) -> Response {
        let status = StatusCode::from_u16(status).unwrap();
        let headers = HeaderMap::from_iter([
            (http::header::RETRY_AFTER, http::HeaderValue::from_static("7")),
            (http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/html")),
        ]);
        Response::new("vault", status, headers, body)
    }

    #[test]
    fn refusals_are_sorted() {
        use SignErrorKind::*;
        for (status, doing, said, kind, hint) in [
            (400, Doing::Sign, "signing key not found", KeyNotFound, "names"),
            (404, Doing::Read, "", KeyNotFound, "names"),
            (404, Doing::Sign, "no handler for route", KeyNotFound, "names"),
            (404, Doing::Sign, "namespace not found", Configuration, "namespace"),
            (404, Doing::LogIn, "no handler for route", Configuration, "mount of the login"),
            (
                500,
                Doing::Sign,
                "requested version for signing is higher than the latest key version",
                KeyNotFound,
                "a version",
            ),
            (
                400,
                Doing::Sign,
                "requested version for signing is less than the minimum encryption key version",
                Configuration,
                "min_encryption_version",
            ),
            (
                500,
                Doing::Sign,
                "requested version for signing is less than the minimum encryption key version",
                Configuration,
                "min_encryption_version",
            ),
            (
                400,
                Doing::Sign,
                "ciphertext or signature version is disallowed by policy (too old)",
                Configuration,
                "min_encryption_version",
            ),
            (
                400,
                Doing::Sign,
                "key type aes256-gcm96 does not support signing",
                Unsupported,
                "RSA",
            ),
            (400, Doing::Read, "what?", Configuration, "settings"),
            (405, Doing::Sign, "unsupported operation", Configuration, "Transit"),
            (403, Doing::Sign, "permission denied", PermissionDenied, "policy"),
            (400, Doing::LogIn, "invalid role or secret ID", PermissionDenied, "secret_id"),
            (
                403,
                Doing::LogIn,
                "service account name not authorized",
                PermissionDenied,
                "service account",
            ),
            (412, Doing::Sign, "required index state not present", Unavailable, "active"),
            (429, Doing::Sign, "rate limit quota exceeded", Throttled, "quota"),
            (472, Doing::Sign, "", Unavailable, "active"),
            (473, Doing::Sign, "", Unavailable, "active"),
            (500, Doing::Sign, "internal error", Unavailable, "reached"),
            (502, Doing::Sign, "upstream", Unavailable, "reached"),
            (503, Doing::Sign, "Vault is sealed", Unavailable, "unseal"),
            (503, Doing::Sign, "no active node", Unavailable, "reached"),
            (504, Doing::Sign, "upstream", Timeout, "load"),
            (418, Doing::Sign, "tea", Other, "message"),
        ] {
            let body = serde_json::json!({ "errors": [said] }).to_string();
            let error = refusal(&response(status, &body), doing);
            assert_eq!(error.kind(), kind, "{status} {said}");
            assert!(error.hint().contains(hint), "{status} {said}: {}", error.hint());
            assert!(error.to_string().contains(said), "{error}");
            // Rounded up.
            assert_eq!(error.retry_after(), Some(Duration::from_secs(8)));
        }
    }

    #[test]
    fn why_a_result_was_not_had_is_told_by_words() {
        let unknown = "wrapping token is not valid or does not exist";
        for (status, said, why) in [
            (400, unknown, Some(NotHad::WaitingOrLost)),
            (403, "Request needs further approval", Some(NotHad::Waiting)),
            (400, "Request needs further approval", Some(NotHad::Waiting)),
            (403, "permission denied", Some(NotHad::Lost)),
            (400, "permission denied", None),
            (500, unknown, None),
            (503, "Vault is sealed", None),
        ] {
            let body = serde_json::json!({ "errors": [said] }).to_string();
            assert_eq!(not_had(&response(status, &body)), why, "{status} {said}");
        }
        assert_eq!(not_had(&response(403, "<html>permission denied</html>")), None);
        let invalid = r#"{"errors": ["1 error occurred:\n\t* invalid accessor\n\n"]}"#;
        assert!(is_unknown(&response(400, invalid)));
        assert!(!is_unknown(&response(403, invalid)));
        assert!(!is_unknown(&response(400, r#"{"errors": ["unsupported path"]}"#)));
    }

    #[test]
    fn what_is_not_the_services_is_told_by_its_status() {
        for (status, kind) in [
            (307, SignErrorKind::Unavailable),
            (403, SignErrorKind::PermissionDenied),
            (407, SignErrorKind::Configuration),
            (502, SignErrorKind::Unavailable),
            (504, SignErrorKind::Timeout),
        ] {
            let error = refusal(&response(status, "<html>no</html>"), Doing::Sign);
            assert_eq!(error.kind(), kind, "{status}");
            assert_eq!(error.retry_after(), Some(Duration::from_secs(8)));
            assert!(!error.to_string().contains("<html>"), "{error}");
        }
    }

    #[test]
    fn a_secret_that_comes_back_is_left_out() {
        let body = r#"{"errors": ["no such token: hunter2", "hunter2"]}"#;
        let response = response(403, body).after_sending("").after_sending("hunter2");
        let error = refusal(&response, Doing::Sign);
        assert_eq!(error.to_string(), "vault answered 403: no such token: […]; […]");
    }
}
