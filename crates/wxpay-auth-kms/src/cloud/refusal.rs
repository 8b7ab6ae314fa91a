//! The error of a refused request.

use wxpay_auth_core::SignErrorKind;

use super::error_codes::{Code, look_up};
use crate::credentials::provider::Credentials;
use crate::error::KmsError;
use crate::http::client::{Response, kind_of_status};

/// Converts the error of a response: its code, message and request id.
pub(crate) fn refusal(
    service: &str,
    table: &[Code],
    response: &Response,
    (code, message, request_id): (&str, &str, Option<&str>),
    credentials: &Credentials,
) -> KmsError {
    // Some services quote the signed text when the signature is wrong.
    let message = credentials.without_secrets(message);
    let (kind, hint) = match look_up(table, code) {
        Some((_, kind, hint)) => (*kind, *hint),
        // An unknown code: the status may come from a proxy in between.
        None => match kind_of_status(response.status) {
            kind if kind.is_transient() => (kind, None),
            _ => (SignErrorKind::Other, None),
        },
    };
    let mut error = KmsError::new(kind, format!("{service} refuses: {message}")).with_code(code);
    if let Some(request_id) = request_id {
        error = error.with_request_id(request_id);
    }
    if let Some(hint) = hint {
        error = error.with_hint(hint);
    }
    response.waiting(error)
}
