//! The change of a delivery plan.

use serde::Deserialize;
use wxpay_auth::DateTime;

/// The state of a delivery plan (投放计划) has changed, or that of its audit.
///
/// States are texts: WeChat Pay spells them differently in its events (`PAUSED`, `PASSED`), in its list (`AUDIT_PASSED`) and
/// in the form of autumn 2025 (`PLAN_PAUSED`). [`plan_state`](Self::plan_state) is as it was received,
/// [`plan_state_name`](Self::plan_state_name) without the prefix. There is no `brand_id`.
///
/// Do not rely on an event for a plan that expires: the official pages contradict each other on whether there is one.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016168699>
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct DeliveryPlanChange {
    /// The plan.
    pub plan_id: String,
    /// Its state now: `CREATED`, `DELIVERING`, `PAUSED`, `TERMINATED`, `EXPIRED`, or one that is not documented.
    #[serde(alias = "current_state")]
    pub plan_state: String,
    /// The state of its audit now: `PROCESSING`, `PASSED`, `REJECTED`, or one that is not documented.
    #[serde(default, alias = "current_audit_state")]
    pub audit_state: Option<String>,
    /// Its state before. Only the form of autumn 2025 has it.
    #[serde(default, rename = "previous_state")]
    pub previous_plan_state: Option<String>,
    /// The state of its audit before. Only the form of autumn 2025 has it.
    #[serde(default)]
    pub previous_audit_state: Option<String>,
    /// Why, for people.
    #[serde(default)]
    pub change_reason: Option<String>,
    /// When. The form of autumn 2025 does not have it.
    #[serde(default)]
    pub modify_time: Option<DateTime>,
}

impl DeliveryPlanChange {
    /// Returns the state of the plan in the newer spelling: `PAUSED` for `PLAN_PAUSED`.
    pub fn plan_state_name(&self) -> &str {
        without(&self.plan_state, "PLAN_")
    }

    /// Returns the state of the audit in the newer spelling of events: `PASSED` for `AUDIT_PASSED`.
    pub fn audit_state_name(&self) -> Option<&str> {
        self.audit_state.as_deref().map(|state| without(state, "AUDIT_"))
    }
}

fn without<'s>(state: &'s str, prefix: &str) -> &'s str {
    state.strip_prefix(prefix).unwrap_or(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_and_both_spellings_are_read() {
        let new = r#"{"plan_id":"12000","plan_state":"PAUSED","audit_state":"PASSED","change_reason":"库存不足",
            "modify_time":"2027-01-02T03:04:05.120+08:00","further":1}"#;
        let old = r#"{"plan_id":"12000","previous_state":"PLAN_DELIVERING","current_state":"PLAN_PAUSED",
            "previous_audit_state":"AUDIT_PASSED","current_audit_state":"AUDIT_PASSED","change_reason":"库存不足"}"#;
        let read = |json: &str| serde_json::from_str::<DeliveryPlanChange>(json).unwrap();
        for change in [read(new), read(old)] {
            assert_eq!((change.plan_id.as_str(), change.plan_state_name()), ("12000", "PAUSED"));
            assert_eq!(change.audit_state_name(), Some("PASSED"));
            assert_eq!(change.change_reason.as_deref(), Some("库存不足"));
        }
        assert_eq!(read(old).previous_plan_state.as_deref(), Some("PLAN_DELIVERING"));
        assert_eq!(read(new).modify_time.unwrap().nanosecond(), 120_000_000);
        let least = read(r#"{"plan_id":"1","plan_state":"NEW_ONE"}"#);
        assert_eq!((least.plan_state_name(), least.audit_state_name()), ("NEW_ONE", None));
    }
}
