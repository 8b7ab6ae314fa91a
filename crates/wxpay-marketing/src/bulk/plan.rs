//! One plan of a list.

use serde::{Deserialize, Serialize};
use wxpay_auth::BrandId;

use crate::expected_plan::ExpectedPlan;
use crate::plan::Plan;
use crate::plan_id::PlanId;
use crate::plan_state::PlanState;

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
    #[serde(flatten)]
    expected: ExpectedPlan,
    /// The brand's own list contained it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_listed: bool,
}

impl BulkPlan {
    /// Expects this plan of this brand.
    pub fn new(brand_id: BrandId, plan_id: PlanId) -> Self {
        Self { expected: ExpectedPlan::new(brand_id, plan_id), is_listed: false }
    }

    /// Expects this name (投放计划名称).
    #[must_use]
    pub fn plan_name(mut self, plan_name: impl Into<String>) -> Self {
        self.expected.plan_name = Some(plan_name.into());
        self
    }

    /// Expects this product coupon (商品券ID).
    #[must_use]
    pub fn product_coupon_id(mut self, product_coupon_id: impl Into<String>) -> Self {
        self.expected.product_coupon_id = Some(product_coupon_id.into());
        self
    }

    /// Expects this state; called several times, one of these states. By default every state that is not final will do.
    #[must_use]
    pub fn plan_state(mut self, plan_state: PlanState) -> Self {
        self.expected.plan_states.push(plan_state);
        self
    }

    /// Takes a plan from the brand's own list.
    pub(crate) fn listed(plan: Plan) -> Self {
        Self { is_listed: true, ..Self::new(plan.brand_id, plan.plan_id) }
    }

    /// Returns the brand.
    pub fn brand_id(&self) -> &BrandId {
        &self.expected.brand_id
    }

    /// Returns the id.
    pub fn plan_id(&self) -> &PlanId {
        &self.expected.plan_id
    }

    /// Returns whether the brand's own list contained it.
    pub(crate) fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// Returns what is compared.
    pub(crate) fn expected(&self) -> &ExpectedPlan {
        &self.expected
    }
}
