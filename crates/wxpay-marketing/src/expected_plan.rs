//! What a plan must be before it is ended: one comparison for a single termination and for many.

use serde::{Deserialize, Serialize};
use wxpay_auth::BrandId;

use crate::plan::Plan;
use crate::plan_id::PlanId;
use crate::plan_state::PlanState;
use crate::terminate_checked::Difference;

/// The expected values. Brand and id are always compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExpectedPlan {
    pub(crate) brand_id: BrandId,
    pub(crate) plan_id: PlanId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) plan_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) product_coupon_id: Option<String>,
    /// One of these; if there are none, every state that is not final.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) plan_states: Vec<PlanState>,
}

impl ExpectedPlan {
    pub(crate) fn new(brand_id: BrandId, plan_id: PlanId) -> Self {
        let (plan_name, product_coupon_id) = (None, None);
        Self { brand_id, plan_id, plan_name, product_coupon_id, plan_states: Vec::new() }
    }

    /// Returns how a plan differs, apart from its state.
    pub(crate) fn differences(&self, plan: &Plan) -> Vec<Difference> {
        let Self { brand_id, plan_id, plan_name, product_coupon_id, .. } = self;
        let compared = [
            ("brand_id", Some(brand_id.as_str()), plan.brand_id.as_str()),
            ("plan_id", Some(plan_id.as_str()), plan.plan_id.as_str()),
            ("plan_name", plan_name.as_deref(), plan.plan_name.as_str()),
            ("product_coupon_id", product_coupon_id.as_deref(), plan.product_coupon_id.as_str()),
        ];
        let differing = compared.into_iter().filter_map(|(field, expected, found)| {
            let expected = expected.filter(|expected| *expected != found)?;
            Some(Difference { field, expected: expected.to_owned(), found: found.to_owned() })
        });
        differing.collect()
    }

    /// Returns how the state of a plan differs.
    pub(crate) fn state_difference(&self, plan: &Plan) -> Option<Difference> {
        if self.plan_states.is_empty() || self.plan_states.contains(&plan.plan_state) {
            return None;
        }
        let expected: Vec<&str> = self.plan_states.iter().map(PlanState::as_str).collect();
        let found = plan.plan_state.as_str().to_owned();
        Some(Difference { field: "plan_state", expected: expected.join(" or "), found })
    }
}
