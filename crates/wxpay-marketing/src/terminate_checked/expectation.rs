//! What a plan must be to be terminated.

use std::fmt;
use std::time::Duration;

use wxpay_auth::{BrandId, foreign_text};

use crate::expected_plan::ExpectedPlan;
use crate::plan_id::PlanId;
use crate::plan_state::PlanState;

/// What a plan must be to be terminated ([`DeliveryPlans::terminate_checked`](crate::DeliveryPlans::terminate_checked)).
///
/// Brand and id are always compared. The more is set, the less a slip can end another campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminateExpectation {
    pub(super) plan: ExpectedPlan,
    pub(super) finds_impact: bool,
    pub(super) confirm_within: Duration,
}

impl TerminateExpectation {
    /// Expects this plan of this brand.
    pub fn new(brand_id: BrandId, plan_id: PlanId) -> Self {
        Self {
            plan: ExpectedPlan::new(brand_id, plan_id),
            finds_impact: true,
            confirm_within: Duration::from_secs(30),
        }
    }

    /// Expects this name (投放计划名称).
    #[must_use]
    pub fn plan_name(mut self, plan_name: impl Into<String>) -> Self {
        self.plan.plan_name = Some(plan_name.into());
        self
    }

    /// Expects this product coupon (商品券ID).
    #[must_use]
    pub fn product_coupon_id(mut self, product_coupon_id: impl Into<String>) -> Self {
        self.plan.product_coupon_id = Some(product_coupon_id.into());
        self
    }

    /// Expects this state; called several times, one of these states. By default every state that is not final will do. A
    /// plan that has ended is reported as such, not as a difference.
    #[must_use]
    pub fn plan_state(mut self, plan_state: PlanState) -> Self {
        self.plan.plan_states.push(plan_state);
        self
    }

    /// Leaves out the search for other plans on the same stock and coupon, which reads all plans of the brand.
    #[must_use]
    pub fn without_impact(mut self) -> Self {
        self.finds_impact = false;
        self
    }

    /// Sets how long to read the state after the termination was sent. The default is 30 s.
    #[must_use]
    pub fn confirm_within(mut self, time: Duration) -> Self {
        self.confirm_within = time;
        self
    }
}

/// How a plan differs from the expected one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The official name of the field.
    pub field: &'static str,
    /// The expected value.
    pub expected: String,
    /// The value of the plan.
    pub found: String,
}

/// Writes `plan_name is "A", "B" was expected`, on one line.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text| foreign_text(text, 64, &[]);
        let (found, expected) = (shown(&self.found), shown(&self.expected));
        write!(f, "{} is {found:?}, {expected:?} was expected", self.field)
    }
}
