//! The meaning of an HTTP status when the response says nothing more specific.

use http::StatusCode;
use wxpay_auth_core::SignErrorKind;

/// Classifies a status without an error code, from the service or from a proxy in between.
pub(crate) fn kind_of_status(status: StatusCode) -> SignErrorKind {
    match status.as_u16() {
        401 | 403 => SignErrorKind::PermissionDenied,
        404 => SignErrorKind::KeyNotFound,
        408 | 504 => SignErrorKind::Timeout,
        407 => SignErrorKind::Configuration,
        429 => SignErrorKind::Throttled,
        500..=599 => SignErrorKind::Unavailable,
        _ => SignErrorKind::Other,
    }
}

/// Classifies a response that does not come from the service, such as the page of a proxy. If its
/// status is a success, the endpoint is some other server.
pub(crate) fn kind_of_foreign(status: StatusCode) -> SignErrorKind {
    if status.is_success() { SignErrorKind::Configuration } else { kind_of_status(status) }
}

/// What to do about such a response.
pub(crate) const FOREIGN_HINT: &str =
    "check that the endpoint is right, and whether a proxy responds instead";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        use SignErrorKind as K;
        for (status, kind, foreign) in [
            (200, K::Other, K::Configuration),
            (204, K::Other, K::Configuration),
            (302, K::Other, K::Other),
            (400, K::Other, K::Other),
            (403, K::PermissionDenied, K::PermissionDenied),
            (404, K::KeyNotFound, K::KeyNotFound),
            (407, K::Configuration, K::Configuration),
            (429, K::Throttled, K::Throttled),
            (500, K::Unavailable, K::Unavailable),
            (503, K::Unavailable, K::Unavailable),
            (504, K::Timeout, K::Timeout),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!((kind_of_status(status), kind_of_foreign(status)), (kind, foreign));
        }
    }
}
