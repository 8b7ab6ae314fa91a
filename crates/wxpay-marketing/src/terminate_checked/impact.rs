//! What else a termination concerns.

use serde::{Deserialize, Serialize};
use wxpay_transport::Transport;

use crate::delivery_plans::DeliveryPlans;
use crate::error::Error;
use crate::list_plans::ListPlans;
use crate::plan::Plan;
use crate::plan_id::PlanId;

/// The brand's other plans on the same stock and coupon that have not ended.
///
/// A termination ends one plan only. A coupon may still reach consumers through the plans here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Impact {
    /// Plans on the same stock, or group of stocks. They go on: one stock may be in several plans, and shares its limits
    /// among them.
    pub same_stock: Vec<PlanId>,
    /// Plans on the same product coupon, those of `same_stock` included. They go on, too; deactivating the coupon would
    /// end all of them (4015781290).
    pub same_coupon: Vec<PlanId>,
}

impl<T: Transport> DeliveryPlans<T> {
    /// Finds the brand's other plans on the same stock and coupon that have not ended. It lists all plans of the brand,
    /// 50 to a page.
    ///
    /// # Errors
    /// Those of [`Plans::next`](crate::Plans::next).
    pub async fn impact(&self, plan: &Plan) -> Result<Impact, Error> {
        let mut plans = self.list_all(ListPlans::new(plan.brand_id.clone()));
        let mut impact = Impact::default();
        while let Some(other) = plans.next().await {
            let other = other?;
            let id = &other.plan_id;
            // A page may repeat a plan while others are created.
            let is_known = *id == plan.plan_id || impact.same_coupon.contains(id);
            if is_known || impact.same_stock.contains(id) || other.plan_state.is_final() {
                continue;
            }
            if other.shares_stock_with(plan) {
                impact.same_stock.push(id.clone());
            }
            if other.product_coupon_id == plan.product_coupon_id {
                impact.same_coupon.push(other.plan_id);
            }
        }
        Ok(impact)
    }
}
