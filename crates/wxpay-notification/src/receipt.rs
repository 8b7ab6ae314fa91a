//! The response to a notification.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use wxpay_auth::foreign_text;

/// The longest message in a response, in bytes.
const LONGEST: usize = 256;

/// The response to a notification: it is acknowledged (应答), or WeChat Pay sends it again.
///
/// ```
/// use wxpay_notification::Receipt;
///
/// let response = Receipt::accepted().into_response();
/// assert!(response.status() == 204 && response.body().is_empty());
/// let response = Receipt::try_again_later("the database is away").into_response();
/// assert_eq!(response.status(), 503);
/// assert_eq!(response.body(), r#"{"code":"FAIL","message":"the database is away"}"#);
/// ```
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012082320>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    status: StatusCode,
    /// `None` for an acknowledgement, which has no body.
    message: Option<Cow<'static, str>>,
}

impl Receipt {
    /// Acknowledges the notification: 204 without a body. WeChat Pay does not send it again.
    pub fn accepted() -> Self {
        Self { status: StatusCode::NO_CONTENT, message: None }
    }

    /// Refuses it with a 4xx status: it is not authentic, or not a notification. WeChat Pay sends it again all the same.
    ///
    /// A status other than 4xx becomes 400. The message goes to the sender: at most 256 bytes on one line, without
    /// secrets.
    pub fn refused(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        let status = if status.is_client_error() { status } else { StatusCode::BAD_REQUEST };
        Self { status, message: Some(message.into()) }
    }

    /// Asks WeChat Pay to send it again: 503. The message goes to the sender: at most 256 bytes on one line, without
    /// secrets.
    pub fn try_again_later(message: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: Some(message.into()) }
    }

    /// Says that the code that handles it panicked: 500.
    pub(crate) fn failed() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self { status, message: Some("an internal error".into()) }
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns whether it acknowledges the notification.
    pub fn is_accepted(&self) -> bool {
        self.message.is_none()
    }

    /// Returns the response, for any HTTP server.
    pub fn into_response(self) -> Response<Bytes> {
        let body = self.message.map(|message| {
            let message = one_line(&message);
            serde_json::json!({ "code": "FAIL", "message": message }).to_string()
        });
        let is_json = body.is_some();
        let mut response = Response::new(body.map(Bytes::from).unwrap_or_default());
        *response.status_mut() = self.status;
        if is_json {
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
        }
        response
    }
}

impl From<Receipt> for Response<Bytes> {
    fn from(receipt: Receipt) -> Self {
        receipt.into_response()
    }
}

/// Makes a message one line of at most so many bytes.
fn one_line(message: &str) -> String {
    let mut line = foreign_text(message, LONGEST, &[]);
    while line.len() > LONGEST {
        line.pop();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_has_no_body() {
        let response = Receipt::accepted().into_response();
        assert_eq!((response.status().as_u16(), response.body().len()), (204, 0));
        assert!(response.headers().is_empty() && Receipt::accepted().is_accepted());
    }

    #[test]
    fn a_refusal_is_an_error_with_a_short_message_on_one_line() {
        let long = "付".repeat(100) + "\r\n";
        for (receipt, status) in [
            (Receipt::refused(StatusCode::UNAUTHORIZED, long.clone()), 401),
            (Receipt::refused(StatusCode::OK, long.clone()), 400),
            (Receipt::refused(StatusCode::FOUND, long.clone()), 400),
            (Receipt::try_again_later(long), 503),
            (Receipt::try_again_later("a\nb"), 503),
            (Receipt::failed(), 500),
        ] {
            assert!(!receipt.is_accepted() && receipt.status() == status);
            let response = receipt.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
            let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
            let message = body["message"].as_str().unwrap();
            assert_eq!(body["code"], "FAIL");
            assert!((1..=256).contains(&message.len()) && !message.contains(['\r', '\n']));
        }
    }
}
