//! Terminates a plan: looks first, and confirms the end by reading.

mod expectation;
mod impact;
mod outcome;

use std::ops::ControlFlow;

use tokio::time::timeout_at;
use wxpay_transport::{Outcome, Transport};

pub use self::expectation::{Difference, TerminateExpectation};
pub use self::impact::Impact;
pub use self::outcome::{
    ConfirmedTermination, EndedPlan, TerminateOutcome, UnconfirmedTermination,
};

use crate::delivery_plans::DeliveryPlans;
use crate::error::Error;
use crate::expected_plan::ExpectedPlan;
use crate::lookup_error::{LookupError, PlanNotFoundError};
use crate::plan::Plan;
use crate::plan_state::PlanState;
use crate::state_reads::StateReads;
use crate::terminated::Terminated;

/// After a refusal, so many reads within 0.7 s must find that the plan has not ended. A single one may lag behind the
/// termination of another caller, which may be why this one was refused.
const READS_AFTER_REFUSAL: usize = 4;

impl<T: Transport> DeliveryPlans<T> {
    /// Terminates a delivery plan that is the expected one, and confirms that it has ended. **This cannot be undone.**
    ///
    /// 1. It looks the plan up by brand and id, and compares it with the expectation. A plan that differs, or has ended
    ///    already, is not touched.
    /// 2. It finds the brand's other plans on the same stock and coupon ([`Impact`]), and then looks the plan up and
    ///    compares it once more: the list of all plans takes its time. A list that cannot be read hinders nothing.
    /// 3. It sends the termination, once. See [`terminate`](Self::terminate).
    /// 4. It reads the state until it is final, or time is up. That also settles an outcome that is not known: the
    ///    termination is never sent a second time. `PLAN_TERMINATING` of 2025 is not final. After a refusal it reads a
    ///    few times only, unless another termination has begun.
    ///
    /// The plan may change between the last lookup and the termination: WeChat Pay has no call that compares and
    /// terminates in one step.
    ///
    /// If the future is dropped after the termination was sent, its outcome is unknown: read the state.
    ///
    /// # Errors
    /// In each of them, nothing was terminated by this call: [`Error::PlanNotFound`]; [`Error::Lookup`] if the plan
    /// could not be looked up; [`Error::Transport`] if the termination could not be sent. What happens after it was
    /// sent is in the [`TerminateOutcome`].
    ///
    /// ```
    /// use wxpay_auth::BrandId;
    /// use wxpay_marketing::{DeliveryPlans, PlanId, TerminateExpectation, TerminateOutcome};
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
    /// let expected = TerminateExpectation::new(BrandId::new("1004")?, PlanId::new("12000")?)
    ///     .plan_name("满100减10")
    ///     .product_coupon_id("200000001");
    /// match plans.terminate_checked(&expected).await? {
    ///     TerminateOutcome::Terminated(confirmed) => {
    ///         println!("it has ended; on the same stock: {:?}", confirmed.impact);
    ///     }
    ///     TerminateOutcome::AlreadyEnded(ended) => println!("it is {}", ended.plan.plan_state),
    ///     TerminateOutcome::Mismatch(_, differences) => println!("not touched: {differences:?}"),
    ///     TerminateOutcome::Refused(plan, error) => println!("still {}: {error}", plan.plan_state),
    ///     TerminateOutcome::Unconfirmed(unconfirmed) => println!("{}", unconfirmed.hint()),
    ///     _ => println!("read the state"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn terminate_checked(
        &self,
        expected: &TerminateExpectation,
    ) -> Result<TerminateOutcome, Error> {
        let mut plan = match self.look(expected).await? {
            ControlFlow::Continue(plan) => plan,
            ControlFlow::Break(outcome) => return Ok(outcome),
        };
        let mut impact = None;
        if expected.finds_impact {
            impact = Some(self.impact(&plan).await);
            // Meanwhile it may have changed, or ended.
            plan = match self.look(expected).await? {
                ControlFlow::Continue(plan) => plan,
                ControlFlow::Break(outcome) => return Ok(outcome),
            };
        }
        let mut known = Known { impact, ..Known::of(plan) };
        match self.terminate(&expected.plan.plan_id).await {
            Ok(terminated) => known.response = Some(terminated),
            Err(error) if error.outcome() == Outcome::NotSent => return Err(error),
            Err(error) => known.error = Some(error),
        }
        known.is_sent = true;
        Ok(self.confirm(expected, known).await)
    }

    /// Looks the plan up, and compares it. Breaks if it is not to be terminated.
    async fn look(
        &self,
        expected: &TerminateExpectation,
    ) -> Result<ControlFlow<TerminateOutcome, Plan>, Error> {
        let lookup = |error| Error::from(LookupError::new(expected.plan.plan_id.clone(), error));
        let plan =
            self.find(&expected.plan.brand_id, &expected.plan.plan_id).await.map_err(lookup)?;
        let Some(plan) = plan else { return Err(not_found(expected).into()) };
        let mut differences = expected.plan.differences(&plan);
        if differences.is_empty() {
            if plan.plan_state.is_final() {
                return Ok(ControlFlow::Break(Known::of(plan).already_ended()));
            }
            if plan.plan_state == PlanState::Terminating {
                // Somebody else's termination has begun: a second one would tell nothing.
                let outcome = self.confirm(expected, Known::of(plan)).await;
                return Ok(ControlFlow::Break(outcome));
            }
            differences.extend(expected.plan.state_difference(&plan));
        }
        Ok(if differences.is_empty() {
            ControlFlow::Continue(plan)
        } else {
            ControlFlow::Break(TerminateOutcome::Mismatch(Box::new(plan), differences))
        })
    }

    /// Reads the state until it is final, or time is up.
    async fn confirm(&self, expected: &TerminateExpectation, mut known: Known) -> TerminateOutcome {
        let is_refused = known.is_refused();
        let mut reads = StateReads::within(expected.confirm_within);
        let (mut lasts, mut is_ending) = (0, false);
        loop {
            let read = self.find(&expected.plan.brand_id, &expected.plan.plan_id);
            match timeout_at(reads.deadline(), read).await {
                Ok(Ok(Some(found))) => {
                    known = Known { plan: found, is_read: true, read_error: None, ..known };
                    match known.plan.plan_state {
                        PlanState::Terminated if known.is_sent && !is_refused => {
                            return known.terminated();
                        }
                        PlanState::Terminated | PlanState::Expired => {
                            return known.already_ended();
                        }
                        PlanState::Terminating => is_ending = true,
                        _ => lasts += 1,
                    }
                }
                Ok(Ok(None)) => known.read_error = Some(not_found(expected).into()),
                Ok(Err(error)) => known.read_error = Some(error),
                // An earlier error is not that of this read.
                Err(_) => {
                    known.read_error = None;
                    known.is_cut = true;
                }
            }
            let lasts_on = is_refused && !is_ending && lasts >= READS_AFTER_REFUSAL;
            if lasts_on || known.is_cut || !reads.next().await {
                break;
            }
        }
        let is_whole = known.is_read && known.read_error.is_none() && !known.is_cut;
        let Known { plan, impact, is_sent, response, error, is_read, read_error, .. } = known;
        match error {
            Some(error) if is_refused && is_whole && !is_ending => {
                TerminateOutcome::Refused(Box::new(plan), Box::new(error))
            }
            error => {
                let (impact, impact_error) = split(impact);
                TerminateOutcome::Unconfirmed(Box::new(UnconfirmedTermination {
                    plan,
                    is_sent,
                    response,
                    error,
                    is_read,
                    read_error,
                    impact,
                    impact_error,
                }))
            }
        }
    }
}

/// What is known of a termination.
struct Known {
    plan: Plan,
    impact: Option<Result<Impact, Error>>,
    is_sent: bool,
    response: Option<Terminated>,
    error: Option<Error>,
    /// Whether a read has finished.
    is_read: bool,
    /// Why the last read failed.
    read_error: Option<Error>,
    /// Whether time was up before the last read finished.
    is_cut: bool,
}

impl Known {
    /// Nothing but the plan.
    fn of(plan: Plan) -> Self {
        Self {
            plan,
            impact: None,
            is_sent: false,
            response: None,
            error: None,
            is_read: false,
            read_error: None,
            is_cut: false,
        }
    }

    fn is_refused(&self) -> bool {
        self.error.as_ref().is_some_and(|error| error.outcome() == Outcome::Rejected)
    }

    fn terminated(self) -> TerminateOutcome {
        let Self { plan, response, impact, .. } = self;
        let (impact, impact_error) = split(impact);
        let confirmed = ConfirmedTermination { plan, response, impact, impact_error };
        TerminateOutcome::Terminated(Box::new(confirmed))
    }

    fn already_ended(self) -> TerminateOutcome {
        let Self { plan, is_sent, response, error, .. } = self;
        TerminateOutcome::AlreadyEnded(Box::new(EndedPlan { plan, is_sent, response, error }))
    }
}

/// Splits what was found from why it was not.
fn split(impact: Option<Result<Impact, Error>>) -> (Option<Impact>, Option<Error>) {
    match impact.transpose() {
        Ok(impact) => (impact, None),
        Err(error) => (None, Some(error)),
    }
}

fn not_found(expected: &TerminateExpectation) -> PlanNotFoundError {
    let ExpectedPlan { brand_id, plan_id, .. } = &expected.plan;
    PlanNotFoundError { brand_id: brand_id.clone(), plan_id: plan_id.clone() }
}
