//! The canonical messages, which are signed byte for byte. Pure functions.

use crate::clock::Timestamp;

/// Builds the message that a request's signature covers: method, URL, timestamp, nonce and body, each
/// terminated by one line feed, including the last.
///
/// `url` is the absolute path with `?` and the query if there is one, exactly as in the request line;
/// the host is not signed. `body` is exactly the bytes that are sent, empty if there is none.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012365342>
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::{Timestamp, request_message};
///
/// let message = request_message(
///     "POST",
///     "/v3/marketing/partner/delivery-plan/delivery-plans/12000/terminate",
///     Timestamp::from_unix_secs(1554208460),
///     "593BEC0C930BF1AFEB40B4A08C8FB242",
///     b"",
/// );
/// assert!(message.ends_with(b"\n1554208460\n593BEC0C930BF1AFEB40B4A08C8FB242\n\n"));
/// ```
pub fn request_message(
    method: &str,
    url: &str,
    timestamp: Timestamp,
    nonce: &str,
    body: &[u8],
) -> Vec<u8> {
    let timestamp = timestamp.to_string();
    lines(&[method.as_bytes(), url.as_bytes(), timestamp.as_bytes(), nonce.as_bytes(), body])
}

/// Builds the message that a response's (or a notification's) signature covers: the raw
/// `Wechatpay-Timestamp`, the raw `Wechatpay-Nonce` and the raw body, each terminated by one line feed.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4013053249>
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::response_message;
///
/// assert_eq!(response_message("1722850421", "d824f2e0", b""), b"1722850421\nd824f2e0\n\n");
/// ```
pub fn response_message(timestamp: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    lines(&[timestamp.as_bytes(), nonce.as_bytes(), body])
}

fn lines(lines: &[&[u8]]) -> Vec<u8> {
    let mut message = Vec::with_capacity(lines.iter().map(|l| l.len() + 1).sum());
    for line in lines {
        message.extend_from_slice(line);
        message.push(b'\n');
    }
    message
}
