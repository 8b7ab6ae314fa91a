//! The response to a termination.

use wxpay_auth::{Timestamp, WechatpaySerial};

use crate::plan_id::PlanId;

/// Says that WeChat Pay has answered 204 to a termination, signed and verified.
///
/// Whether that means "done" or "accepted" is not documented (in 2025 there was a state
/// `PLAN_TERMINATING`): where it matters, read the state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terminated {
    /// The plan.
    pub plan_id: PlanId,
    /// The `Request-ID` of the response: keep it, WeChat Pay's support asks for it.
    pub request_id: Option<String>,
    /// The host that answered.
    pub host: String,
    /// The key that signed the response.
    pub signed_by: WechatpaySerial,
    /// When the response was signed.
    pub signed_at: Timestamp,
}
