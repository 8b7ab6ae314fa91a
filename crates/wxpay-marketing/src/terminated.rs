//! The response to a termination.

use serde::{Deserialize, Serialize};
use wxpay_auth::{Timestamp, WechatpaySerial};

use crate::plan_id::PlanId;

/// A signed and verified 204 response to a termination.
///
/// Whether that means "done" or "accepted" is not documented (in 2025 there was a state
/// `PLAN_TERMINATING`): if it matters, read the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Terminated {
    /// The plan.
    pub plan_id: PlanId,
    /// The `Request-ID` of the response. Keep it: WeChat Pay's support asks for it.
    pub request_id: Option<String>,
    /// The host that responded.
    pub host: String,
    /// The key that signed the response.
    pub signed_by: WechatpaySerial,
    /// When the response was signed.
    pub signed_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_written_to_a_journal_and_read_again() {
        let terminated = Terminated {
            plan_id: PlanId::new("12000").unwrap(),
            request_id: Some("08F7".into()),
            host: "api.mch.weixin.qq.com".into(),
            signed_by: WechatpaySerial::new("PUB_KEY_ID_01").unwrap(),
            signed_at: Timestamp::from_unix_secs(1_554_208_460),
        };
        let json = serde_json::json!({
            "plan_id": "12000",
            "request_id": "08F7",
            "host": "api.mch.weixin.qq.com",
            "signed_by": "PUB_KEY_ID_01",
            "signed_at": 1_554_208_460,
        });
        assert_eq!(serde_json::to_value(&terminated).unwrap(), json);
        assert_eq!(serde_json::from_value::<Terminated>(json).unwrap(), terminated);
        let error = serde_json::from_value::<PlanId>("12/000".into()).unwrap_err();
        assert!(error.to_string().contains("'/'"), "{error}");
    }
}
