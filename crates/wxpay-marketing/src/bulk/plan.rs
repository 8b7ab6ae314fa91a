//! One plan of a list.

use serde::{Deserialize, Serialize};
use wxpay_auth::BrandId;

use crate::plan::Plan;
use crate::plan_id::PlanId;
use crate::plan_state::PlanState;
use crate::terminate_checked::Difference;

/// A plan to be terminated, and what it must be. Brand and id are always compared.
///
/// ```
/// use wxpay_auth::BrandId;
/// use wxpay_marketing::{BulkPlan, PlanId};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let plan = BulkPlan::new(BrandId::new("1004")?, PlanId::new("12000")?).plan_name("满100减10");
/// assert_eq!(plan.plan_id().as_str(), "12000");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkPlan {
    brand_id: BrandId,
    plan_id: PlanId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    product_coupon_id: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    plan_states: Vec<PlanState>,
    /// The brand's own list contained it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_listed: bool,
}

impl BulkPlan {
    /// Expects this plan of this brand.
    pub fn new(brand_id: BrandId, plan_id: PlanId) -> Self {
        Self {
            brand_id,
            plan_id,
            plan_name: None,
            product_coupon_id: None,
            plan_states: Vec::new(),
            is_listed: false,
        }
    }

    /// Expects this name (投放计划名称).
    #[must_use]
    pub fn plan_name(mut self, plan_name: impl Into<String>) -> Self {
        self.plan_name = Some(plan_name.into());
        self
    }

    /// Expects this product coupon (商品券ID).
    #[must_use]
    pub fn product_coupon_id(mut self, product_coupon_id: impl Into<String>) -> Self {
        self.product_coupon_id = Some(product_coupon_id.into());
        self
    }

    /// Expects this state; called several times, one of these states. By default every state that is not final will do.
    #[must_use]
    pub fn plan_state(mut self, plan_state: PlanState) -> Self {
        self.plan_states.push(plan_state);
        self
    }

    /// Takes a plan from the brand's own list.
    pub(crate) fn listed(plan: Plan) -> Self {
        Self { is_listed: true, ..Self::new(plan.brand_id, plan.plan_id) }
    }

    /// Returns the brand.
    pub fn brand_id(&self) -> &BrandId {
        &self.brand_id
    }

    /// Returns the id.
    pub fn plan_id(&self) -> &PlanId {
        &self.plan_id
    }

    /// Returns whether the brand's own list contained it.
    pub(crate) fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// Returns how a plan differs, apart from its state.
    pub(crate) fn differences(&self, found: &Plan) -> Vec<Difference> {
        let compared = [
            ("brand_id", Some(self.brand_id.as_str()), found.brand_id.as_str()),
            ("plan_id", Some(self.plan_id.as_str()), found.plan_id.as_str()),
            ("plan_name", self.plan_name.as_deref(), found.plan_name.as_str()),
            (
                "product_coupon_id",
                self.product_coupon_id.as_deref(),
                found.product_coupon_id.as_str(),
            ),
        ];
        let differing = compared.into_iter().filter_map(|(field, expected, found)| {
            let expected = expected.filter(|expected| *expected != found)?;
            Some(Difference { field, expected: expected.to_owned(), found: found.to_owned() })
        });
        differing.collect()
    }

    /// Returns how the state of a plan differs.
    pub(crate) fn state_difference(&self, found: &Plan) -> Option<Difference> {
        if self.plan_states.is_empty() || self.plan_states.contains(&found.plan_state) {
            return None;
        }
        let expected: Vec<_> = self.plan_states.iter().map(PlanState::as_str).collect();
        let found = found.plan_state.as_str().to_owned();
        Some(Difference { field: "plan_state", expected: expected.join(" or "), found })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(state: &str) -> Plan {
        serde_json::from_value(json!({
            "plan_id": "50001", "plan_name": "样例计划", "plan_state": state,
            "delivery_start_time": "2027-01-01T00:00:00+08:00",
            "delivery_end_time": "2027-01-31T00:00:00+08:00",
            "product_coupon_id": "7000000001", "brand_id": "70001",
        }))
        .unwrap()
    }

    fn plan(brand_id: &str, plan_id: &str) -> BulkPlan {
        BulkPlan::new(BrandId::new(brand_id).unwrap(), PlanId::new(plan_id).unwrap())
    }

    #[test]
    fn every_expected_field_is_compared() {
        let same = plan("70001", "50001").plan_name("样例计划").product_coupon_id("7000000001");
        assert_eq!(same.differences(&found("CREATED")), []);
        for (differs, field) in [
            (plan("70002", "50001"), "brand_id"),
            (plan("70001", "50002"), "plan_id"),
            (plan("70001", "50001").plan_name("x"), "plan_name"),
            (plan("70001", "50001").product_coupon_id("x"), "product_coupon_id"),
        ] {
            let differences = differs.differences(&found("CREATED"));
            assert_eq!(differences.iter().map(|d| d.field).collect::<Vec<_>>(), [field]);
        }
    }

    #[test]
    fn one_of_the_expected_states_will_do() {
        let either =
            plan("70001", "50001").plan_state(PlanState::Created).plan_state(PlanState::Paused);
        assert_eq!(either.state_difference(&found("PLAN_PAUSED")), None);
        let difference = either.state_difference(&found("DELIVERING")).unwrap();
        assert_eq!(difference.expected, "CREATED or PAUSED");
        assert_eq!(plan("70001", "50001").state_difference(&found("DELIVERING")), None);
    }

    #[test]
    fn a_journal_keeps_what_is_expected() {
        let all = plan("70001", "50001").plan_name("x").plan_state(PlanState::Paused);
        let line = serde_json::to_string(&all).unwrap();
        assert_eq!(
            line,
            r#"{"brand_id":"70001","plan_id":"50001","plan_name":"x","plan_states":["PAUSED"]}"#
        );
        assert_eq!(serde_json::from_str::<BulkPlan>(&line).unwrap(), all);
        let listed = BulkPlan::listed(found("CREATED"));
        let line = serde_json::to_string(&listed).unwrap();
        assert_eq!(line, r#"{"brand_id":"70001","plan_id":"50001","is_listed":true}"#);
        assert_eq!(serde_json::from_str::<BulkPlan>(&line).unwrap(), listed);
    }
}
