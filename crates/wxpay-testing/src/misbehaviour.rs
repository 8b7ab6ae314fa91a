//! What the gateway can do wrong, on request.

use std::time::Duration;

/// Names the body of an error response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorBody {
    /// A JSON object with code and message, as documented.
    Json {
        /// The code: `PARAM_ERROR`, say.
        code: String,
        /// The message.
        message: String,
    },
    /// A JSON object without a code, as other servers than WeChat Pay write it.
    CodelessJson,
    /// A web page, as a server in front of WeChat Pay sends it.
    Html,
    /// Nothing.
    Empty,
    /// A line of text.
    Text,
    /// Bytes that are no UTF-8.
    NonUtf8,
    /// A JSON object with code and message, and blanks up to so many bytes.
    Padded(usize),
}

impl ErrorBody {
    /// Makes a JSON body.
    pub fn json(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Json { code: code.into(), message: message.into() }
    }
}

/// Names one thing that the gateway does wrong with an authentic request.
///
/// Where the response is a 2xx, the request has been carried out before: that is what makes its outcome
/// unknown to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// Responses without any `Wechatpay-*` header.
    Unsigned,
    /// Answers 2xx without any `Wechatpay-*` header.
    UnsignedSuccess,
    /// Answers with a body that was changed after it was signed (200 where it would be 204).
    TamperedBody,
    /// Names another key than the one that signed, which the client holds as well.
    WrongSerial,
    /// Names a key that the client does not hold.
    UnknownSerial,
    /// Signs with a platform certificate that has expired. A client holds it only with
    /// [`WechatPay::key_ring_with_expired_certificate`](crate::WechatPay::key_ring_with_expired_certificate).
    ExpiredCertificate,
    /// Sends a signature probe: `WECHATPAY/SIGNTEST/…` with an unknown serial.
    Probe,
    /// Sends a signature that is no base64.
    MalformedSignature,
    /// Leaves one header out, `Wechatpay-Nonce` say.
    MissingHeader(&'static str),
    /// Signs with a timestamp of ten minutes ago.
    StaleTimestamp,
    /// Signs with a timestamp in ten minutes.
    FutureTimestamp,
    /// Answers with another status and body than the right ones.
    Status {
        /// The status.
        status: u16,
        /// The body.
        body: ErrorBody,
        /// Whether the response is signed.
        signed: bool,
        /// Whether the request is carried out before.
        executed: bool,
    },
    /// Answers with another status and body than the right ones, and with a signature that is for another
    /// body.
    ForgedStatus {
        /// The status.
        status: u16,
        /// The body.
        body: ErrorBody,
        /// Whether the request is carried out before.
        executed: bool,
    },
    /// Answers with a body in the coding `gzip`, which nobody asked for, in place of the one that was signed
    /// (200 where it would be 204).
    Encoded,
    /// Answers with another 2xx and body than documented, carried out and correctly signed.
    UnexpectedSuccess {
        /// The status.
        status: u16,
        /// The body.
        body: String,
    },
    /// Sends the client to another path (302), without carrying anything out.
    Redirect,
    /// Carries the request out, and answers only after this time.
    Slow(Duration),
    /// Answers 200 with a body of so many bytes, carried out and correctly signed.
    Oversized(usize),
}
