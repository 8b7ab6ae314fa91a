//! Calls on delivery plans.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use wxpay_auth::{Clock, SystemClock, Timestamp};
use wxpay_transport::{RateLimit, Replay, Request, RequestError, Response, Target, Transport};

use crate::error::Error;
use crate::expecting::expecting;
use crate::plan_id::PlanId;
use crate::terminated::Terminated;

/// Calls on delivery plans (投放计划), for service providers (普通服务商).
///
/// `T` is a [`Client`](wxpay_transport::Client), a reference to one, or an `Arc<dyn Transport>`.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016402231>
#[derive(Clone)]
pub struct DeliveryPlans<T> {
    transport: T,
    clock: Arc<dyn Clock>,
}

pub(crate) const PATH: &str = "/v3/marketing/partner/delivery-plan/delivery-plans";

impl<T: Transport> DeliveryPlans<T> {
    /// Creates the service. The client must sign with the service provider's own `mchid`.
    pub fn new(transport: T) -> Self {
        Self { transport, clock: Arc::new(SystemClock) }
    }

    /// Sets the clock by which the start of a new plan is checked. The default is the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Returns the transport, for calls that have no typed form yet.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Terminates a delivery plan (终止投放计划). **This cannot be undone.**
    ///
    /// `POST /v3/marketing/partner/delivery-plan/delivery-plans/{plan_id}/terminate`, without a body. The limit is
    /// 100 calls per second and `mchid`, which the client enforces
    /// ([`RateLimiter`](wxpay_transport::RateLimiter)).
    ///
    /// `TERMINATED` is a final state. The call contains nothing but the id (no `brand_id`, no reason,
    /// no request number), and an `mchid` serves many brands: only your own lookup prevents terminating
    /// another brand's campaign. [`terminate_checked`](Self::terminate_checked) looks the plan up first, compares it
    /// with what you expect, and confirms the end by reading.
    ///
    /// # What counts as success
    /// Only a verified 204. Any other verified 2xx is returned as [`Error::UnexpectedStatus`] with an
    /// unknown outcome, because taking a running plan for terminated costs more than reading its state.
    ///
    /// # What is not documented
    /// The response for a plan that has already ended, does not exist, or belongs to another brand; and
    /// whether 204 means "done" or "accepted". So confirm by reading the state.
    ///
    /// # No automatic repetition
    /// Its replay class is [`Replay::Never`]. Terminating twice ends in the same state, but the second
    /// response is not documented: an error in it would look as if the plan were still running. It is
    /// sent again, or to the standby domain, only if not a byte of it was sent, or if WeChat Pay itself
    /// did not accept it (429).
    ///
    /// # When the outcome is unknown
    /// Do not send it again. Read the state ([`find`](Self::find)):
    /// [`Terminated`](crate::PlanState::Terminated) is done, [`Terminating`](crate::PlanState::Terminating) is in
    /// progress, [`Expired`](crate::PlanState::Expired) has ended by itself; in any other state it was not carried
    /// out, or not yet: read again after a while before deciding to send it again.
    /// [`terminate_checked`](Self::terminate_checked) does all that.
    ///
    /// # Errors
    /// [`Error::Transport`] for everything that can fail on the way; [`Error::outcome`] returns what became
    /// of the call. Documented codes: 400 `PARAM_ERROR`, 400 `INVALID_REQUEST`, 401 `SIGN_ERROR`, 500
    /// `SYSTEM_ERROR`.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184572>
    ///
    /// # Example
    /// ```
    /// use wxpay_marketing::{DeliveryPlans, PlanId};
    /// use wxpay_testing::Gateway;
    /// use wxpay_transport::{BaseUrl, Client, Outcome};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gateway = Gateway::start().await;
    /// let client = Client::builder(gateway.mchid(), gateway.signer(), gateway.key_ring())
    ///     .base_url(BaseUrl::new(gateway.base_url())?)
    ///     .build()?;
    ///
    /// let plans = DeliveryPlans::new(client);
    /// match plans.terminate(&PlanId::new("12000")?).await {
    ///     Ok(terminated) => println!("terminated, request id {:?}", terminated.request_id),
    ///     Err(error) if error.outcome() == Outcome::Unknown => println!("read the state: {error}"),
    ///     Err(error) => println!("nothing was done: {error} ({})", error.hint()),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn terminate(&self, plan_id: &PlanId) -> Result<Terminated, Error> {
        const OPERATION: &str = "delivery_plans.terminate";
        let request = Request::post(OPERATION, plan_target(plan_id)?.segment("terminate")?)
            .with_replay(Replay::Never)
            .with_rate_limit(RateLimit::per_second(100));
        let response =
            expecting(&self.transport, OPERATION, StatusCode::NO_CONTENT, request).await?;
        Ok(Terminated {
            plan_id: plan_id.clone(),
            request_id: response.request_id().map(str::to_owned),
            host: response.host().to_owned(),
            signed_by: response.body().serial().clone(),
            signed_at: response.body().signed_at(),
        })
    }

    /// Sends a request whose documented response is 200.
    pub(crate) async fn ok(
        &self,
        operation: &'static str,
        request: Request,
    ) -> Result<Response, Error> {
        expecting(&self.transport, operation, StatusCode::OK, request).await
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Returns the path of a plan.
pub(crate) fn plan_target(plan_id: &PlanId) -> Result<Target, RequestError> {
    Target::new(PATH)?.segment(plan_id.as_str())
}

impl<T: fmt::Debug> fmt::Debug for DeliveryPlans<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryPlans").field("transport", &self.transport).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_the_documented_one() {
        let target = |id| {
            let target = plan_target(&PlanId::new(id).unwrap()).unwrap();
            target.segment("terminate").unwrap().to_string()
        };
        assert_eq!(
            target("12000"),
            "/v3/marketing/partner/delivery-plan/delivery-plans/12000/terminate"
        );
        assert!(target("a+b:计").ends_with("/a%2Bb%3A%E8%AE%A1/terminate"));
    }

    proptest::proptest! {
        #[test]
        fn every_valid_id_becomes_one_segment(id in "\\PC{1,40}") {
            if let Ok(id) = PlanId::new(id) {
                let target = plan_target(&id).unwrap().segment("terminate").unwrap().to_string();
                let rest = target.strip_prefix(PATH).unwrap();
                proptest::prop_assert_eq!(rest.matches('/').count(), 2);
                proptest::prop_assert!(rest.ends_with("/terminate"));
            }
        }
    }
}
