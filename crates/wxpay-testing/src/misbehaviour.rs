//! Misbehaviour of the gateway, on request.

use std::time::Duration;

/// The body of an error response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorBody {
    /// A JSON object with code and message, as documented.
    Json {
        /// The code, such as `PARAM_ERROR`.
        code: String,
        /// The message.
        message: String,
    },
    /// A JSON object without a code, as other servers than WeChat Pay write it.
    CodelessJson,
    /// A web page, as a server in front of WeChat Pay sends it.
    Html,
    /// Empty.
    Empty,
    /// A line of text.
    Text,
    /// Bytes that are not UTF-8.
    NonUtf8,
    /// A JSON object with code and message, padded with blanks to this many bytes.
    Padded(usize),
}

impl ErrorBody {
    /// Returns a JSON body.
    pub fn json(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Json { code: code.into(), message: message.into() }
    }
}

/// One fault in how the gateway handles an authentic request.
///
/// Before a 2xx response, the request has been carried out: that makes its outcome unknown to the
/// caller.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// Responds without any `Wechatpay-*` header.
    Unsigned,
    /// Responds with 2xx without any `Wechatpay-*` header.
    UnsignedSuccess,
    /// Responds with a body that was changed after signing (200 instead of 204).
    TamperedBody,
    /// Names a key other than the signing one, which the client holds as well.
    WrongSerial,
    /// Names a key that the client does not hold.
    UnknownSerial,
    /// Signs with a platform certificate that has expired. A client holds it only with
    /// [`WechatPay::key_ring_with_expired_certificate`](crate::WechatPay::key_ring_with_expired_certificate).
    ExpiredCertificate,
    /// Sends a signature probe: `WECHATPAY/SIGNTEST/…` with an unknown serial.
    Probe,
    /// Sends a signature that is not base64.
    MalformedSignature,
    /// Omits one header, such as `Wechatpay-Nonce`.
    MissingHeader(&'static str),
    /// Signs with a timestamp of ten minutes ago.
    StaleTimestamp,
    /// Signs with a timestamp in ten minutes.
    FutureTimestamp,
    /// Responds with this status and body.
    Status {
        /// The status.
        status: u16,
        /// The body.
        body: ErrorBody,
        /// Whether the response is signed.
        signed: bool,
        /// Whether the request is carried out first.
        executed: bool,
    },
    /// Responds with this status and body, and with a signature over another body.
    ForgedStatus {
        /// The status.
        status: u16,
        /// The body.
        body: ErrorBody,
        /// Whether the request is carried out first.
        executed: bool,
    },
    /// Responds with a body in the coding `gzip`, which was not requested, instead of the signed one (200
    /// instead of 204).
    Encoded,
    /// Responds with another 2xx and body than documented, carried out and correctly signed.
    UnexpectedSuccess {
        /// The status.
        status: u16,
        /// The body.
        body: String,
    },
    /// Redirects the client to another path (302), without carrying anything out.
    Redirect,
    /// Carries the request out, and responds only after this time.
    Slow(Duration),
    /// Responds with 200 and a body of this many bytes, carried out and correctly signed.
    Oversized(usize),
}
