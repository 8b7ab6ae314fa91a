//! Finds one plan.

use wxpay_auth::BrandId;
use wxpay_transport::Transport;

use crate::delivery_plans::DeliveryPlans;
use crate::error::Error;
use crate::incomplete_list_error::IncompleteListError;
use crate::list_plans::{ListPlans, OPERATION};
use crate::plan::Plan;
use crate::plan_id::PlanId;
use crate::response_check::require;

impl<T: Transport> DeliveryPlans<T> {
    /// Finds a plan of a brand; `None` if the brand has no such plan. There is no call for a single plan: this lists the
    /// brand's plans with this `plan_id`.
    ///
    /// `brand_id` and `plan_id` of the response are compared with the given ones. `None` is certain, too: an empty
    /// list is asked for twice (see [`list`](Self::list)).
    ///
    /// # Errors
    /// Those of [`list`](Self::list). [`Error::ForeignResponse`] if only other plans are returned, as if the filter was
    /// lost on the way; a [`Client`](wxpay_transport::Client) recognises such a response before that, and returns
    /// [`UnverifiedCause::Foreign`](wxpay_transport::UnverifiedCause::Foreign). [`Error::IncompleteList`] if the list
    /// says that it has plans, but has none.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184563>
    ///
    /// ```
    /// use wxpay_auth::BrandId;
    /// use wxpay_marketing::{DeliveryPlans, PlanId, PlanState};
    /// use wxpay_testing::Gateway;
    /// use wxpay_transport::{BaseUrl, Client};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gateway = Gateway::start().await;
    /// let client = Client::builder(gateway.mchid(), gateway.signer(), gateway.key_ring())
    ///     .base_url(BaseUrl::new(gateway.base_url())?)
    ///     .build()?;
    /// let plans = DeliveryPlans::new(client);
    ///
    /// let brand_id = BrandId::new("1004")?;
    /// let plan = plans.find(&brand_id, &PlanId::new("12000")?).await?;
    /// assert_eq!(plan.map(|plan| plan.plan_state), Some(PlanState::Delivering));
    /// assert_eq!(plans.find(&brand_id, &PlanId::new("99999")?).await?, None);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn find(&self, brand_id: &BrandId, plan_id: &PlanId) -> Result<Option<Plan>, Error> {
        let query = ListPlans::new(brand_id.clone()).plan_id(plan_id.clone());
        let page = self.list(&query).await?;
        let (total_count, mut foreign) = (page.total_count, None);
        for plan in page.plan_list {
            match require(OPERATION, true, &plan, Some(brand_id), Some(plan_id)) {
                Ok(()) => return Ok(Some(plan)),
                Err(error) => foreign = foreign.or(Some(error)),
            }
        }
        match foreign {
            Some(error) => Err(error.into()),
            None if total_count > 0 => Err(IncompleteListError { total_count, offset: 0 }.into()),
            None => Ok(None),
        }
    }
}
