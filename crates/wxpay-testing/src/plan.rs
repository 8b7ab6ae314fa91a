//! Delivery plans, and their states.

use std::fmt;

use serde_json::{Map, Value, json};

/// The state of a delivery plan.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016402231>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PlanState {
    /// Waiting for audit.
    Created,
    /// Shown to consumers.
    Delivering,
    /// Out of stock; restocking resumes it.
    Paused,
    /// Terminated. Final.
    Terminated,
    /// Past its end. Final.
    Expired,
}

impl PlanState {
    /// Returns the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Delivering => "DELIVERING",
            Self::Paused => "PAUSED",
            Self::Terminated => "TERMINATED",
            Self::Expired => "EXPIRED",
        }
    }

    /// Parses the name on the wire, in the spelling of 2026 (`PAUSED`) or of 2025 (`PLAN_PAUSED`).
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("PLAN_").unwrap_or(name);
        [Self::Created, Self::Delivering, Self::Paused, Self::Terminated, Self::Expired]
            .into_iter()
            .find(|state| state.as_str() == name)
    }

    /// Returns whether the state is final.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Terminated | Self::Expired)
    }

    /// Returns whether the documented state machine allows this transition.
    pub fn may_become(self, next: Self) -> bool {
        match (self, next) {
            (Self::Created | Self::Paused, Self::Delivering) | (Self::Delivering, Self::Paused) => {
                true
            }
            (from, Self::Terminated | Self::Expired) => !from.is_final(),
            _ => false,
        }
    }
}

impl fmt::Display for PlanState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A delivery plan of the gateway.
///
/// ```
/// use wxpay_testing::{Plan, PlanState};
///
/// let plan = Plan::new("12345", "1004").with_state(PlanState::Paused);
/// assert_eq!(plan.state(), PlanState::Paused);
///
/// // The list call can show other values: here a spelling of 2025.
/// let plan = plan.with_field("plan_state", "PLAN_TERMINATING");
/// assert_eq!(plan.state(), PlanState::Paused);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "plan_id is the official name")]
pub struct Plan {
    pub(crate) plan_id: String,
    pub(crate) brand_id: String,
    pub(crate) state: PlanState,
    /// Values that the list call shows instead of the defaults.
    fields: Map<String, Value>,
}

impl Plan {
    /// Creates a plan of a brand, in the state `DELIVERING`.
    pub fn new(plan_id: impl Into<String>, brand_id: impl Into<String>) -> Self {
        let (plan_id, brand_id) = (plan_id.into(), brand_id.into());
        Self { plan_id, brand_id, state: PlanState::Delivering, fields: Map::new() }
    }

    /// Sets the state.
    #[must_use]
    pub fn with_state(mut self, state: PlanState) -> Self {
        self.state = state;
        self
    }

    /// Sets the value that the list call shows for a field (such as `plan_name`), or for an additional field;
    /// `null` omits the field.
    #[must_use]
    pub fn with_field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// Returns the id.
    pub fn plan_id(&self) -> &str {
        &self.plan_id
    }

    /// Returns the id of the brand.
    pub fn brand_id(&self) -> &str {
        &self.brand_id
    }

    /// Returns the state.
    pub fn state(&self) -> PlanState {
        self.state
    }

    /// Serializes it as the list call does.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184563>
    pub(crate) fn to_json(&self) -> Value {
        let mut json = json!({
            "plan_id": self.plan_id,
            "plan_name": "满100减10",
            "plan_state": self.state.as_str(),
            "delivery_start_time": "2026-01-01T00:00:00+08:00",
            "delivery_end_time": "2099-12-31T23:59:59+08:00",
            "product_coupon_id": "200000001",
            "usage_mode": "SINGLE",
            "stock_id": "100232301",
            "recommend_word": "满100减10",
            "brand_id": self.brand_id,
            "total_count": 10_000,
            "user_limit": 1,
            "daily_limit": 1_000,
            "reuse_coupon_config": false,
        });
        if let Some(json) = json.as_object_mut() {
            json.extend(self.fields.clone());
            json.retain(|_, value| !value.is_null());
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::PlanState::{Created, Delivering, Expired, Paused, Terminated};
    use super::*;

    #[test]
    fn both_spellings_of_a_state_are_read() {
        assert_eq!(PlanState::from_name("PAUSED"), Some(Paused));
        assert_eq!(PlanState::from_name("PLAN_EXPIRED"), Some(Expired));
        assert_eq!(PlanState::from_name("PLAN_TERMINATING"), None);
    }

    #[test]
    fn a_field_is_replaced_added_or_left_out() {
        let plan = Plan::new("1", "2").with_field("plan_name", "x").with_field("new", 7);
        let json = plan.with_field("stock_id", Value::Null).to_json();
        assert_eq!((&json["plan_name"], &json["new"]), (&json!("x"), &json!(7)));
        assert_eq!(json.as_object().unwrap().len(), 14);
        assert!(json.get("stock_id").is_none());
    }

    #[test]
    fn the_state_machine_is_the_documented_one() {
        let all = [Created, Delivering, Paused, Terminated, Expired];
        let may: Vec<(PlanState, PlanState)> = all
            .iter()
            .flat_map(|from| all.iter().map(move |to| (*from, *to)))
            .filter(|(from, to)| from.may_become(*to))
            .collect();
        assert_eq!(
            may,
            [
                (Created, Delivering),
                (Created, Terminated),
                (Created, Expired),
                (Delivering, Paused),
                (Delivering, Terminated),
                (Delivering, Expired),
                (Paused, Delivering),
                (Paused, Terminated),
                (Paused, Expired),
            ]
        );
    }
}
