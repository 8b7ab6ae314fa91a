//! The body of a 401 `SIGN_ERROR`, which shows the message that the server built.

use serde_json::{Value, json};

use crate::authenticate::server_message;
use crate::request::RawRequest;

/// How many bytes of a body are shown, as in the only public truncated response.
const SHOWN_BODY_BYTES: usize = 8;

/// Builds the body, with the message that this server built from the request.
///
/// `issue` is at `detail.issue`, as documented, or at `detail.detail.issue`: both occur.
pub(crate) fn body(request: RawRequest<'_>, message: &str, issue: &str, nested: bool) -> Value {
    let (name, value) =
        if nested { ("detail", json!({ "issue": issue })) } else { ("issue", json!(issue)) };
    let built = server_message(request).unwrap_or_default();
    json!({
        "code": "SIGN_ERROR",
        "message": message,
        "detail": {
            name: value,
            "field": "signature",
            "location": "authorization",
            "sign_information": {
                "method": request.method,
                "url": request.target,
                "truncated_sign_message": truncated(&built, request.signed_body().len()),
                "sign_message_length": built.len(),
            },
        },
    })
}

/// Truncates the body at the end of the message, and keeps the final line feed.
fn truncated(message: &[u8], body_length: usize) -> String {
    let cut = body_length.saturating_sub(SHOWN_BODY_BYTES);
    let end = message.len().saturating_sub(1 + cut);
    let shown = message.get(..end).unwrap_or_default();
    // Whether the real server cuts through a character is unknown.
    format!("{}\n", String::from_utf8_lossy(shown).trim_end_matches('\u{fffd}'))
}
