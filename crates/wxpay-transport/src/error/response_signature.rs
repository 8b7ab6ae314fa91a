//! The signature of an error response.

use wxpay_auth::{VerifyError, WechatpaySerial};

/// The signature of an error response. WeChat Pay is known to sign some of them (400, 403); whether it
/// signs all is unknown.
#[derive(Debug)]
#[non_exhaustive]
pub enum ResponseSignature {
    /// Verified with this key.
    Verified(WechatpaySerial),
    /// Not signed.
    Missing,
    /// Not checked, because the body is incomplete.
    Unchecked,
    /// Present but not accepted: the response cannot be trusted, not even as a refusal.
    Refused(VerifyError),
}
