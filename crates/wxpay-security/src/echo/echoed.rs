//! The result of an echo call.

use wxpay_auth::{Timestamp, WechatpaySerial};

/// A signed and verified response that repeats what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Echoed {
    /// The `Request-ID` of the response. WeChat Pay's support asks for it.
    pub request_id: Option<String>,
    /// The host that responded.
    pub host: String,
    /// The key that signed the response.
    pub signed_by: WechatpaySerial,
    /// When the response was signed.
    pub signed_at: Timestamp,
}
