//! Terminates a plan: looks first, and confirms the end by reading.

mod expectation;
mod impact;
mod outcome;

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use wxpay_transport::{Outcome, Transport};

pub use self::expectation::{Difference, TerminateExpectation};
pub use self::impact::Impact;
pub use self::outcome::{ConfirmedTermination, TerminateOutcome, UnconfirmedTermination};

use crate::delivery_plans::DeliveryPlans;
use crate::error::Error;
use crate::lookup_error::{LookupError, PlanNotFoundError};
use crate::plan::Plan;
use crate::plan_state::PlanState;
use crate::terminated::Terminated;

/// Waits between two reads of the state: the first one, doubled up to the longest one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

impl<T: Transport> DeliveryPlans<T> {
    /// Terminates a delivery plan that is the expected one, and confirms that it has ended. **This cannot be undone.**
    ///
    /// 1. It looks the plan up by brand and id, and compares it with the expectation. A plan that differs, or has ended
    ///    already, is not touched.
    /// 2. It finds the brand's other plans on the same stock and coupon ([`Impact`]), and compares once more.
    /// 3. It sends the termination, once. See [`terminate`](Self::terminate).
    /// 4. It reads the state until it is final, or time is up. That also settles an outcome that is not known: the
    ///    termination is never sent a second time. `PLAN_TERMINATING` of 2025 is not final.
    ///
    /// The plan may change between the lookup and the termination: WeChat Pay has no call that compares and terminates
    /// in one step.
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
    ///     TerminateOutcome::AlreadyEnded(plan) => println!("it was {} before", plan.plan_state),
    ///     TerminateOutcome::Mismatch(_, differences) => println!("not touched: {differences:?}"),
    ///     TerminateOutcome::Refused(_, error) => println!("it goes on: {error}"),
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
        let mut plan = match self.examined(expected).await? {
            Examined::Expected(plan) => plan,
            Examined::Ended(outcome) => return Ok(outcome),
        };
        let mut impact = None;
        if expected.finds_impact {
            impact = Some(self.impact(&plan).await.map_err(|e| lookup_error(expected, e))?);
            // That may have taken a while.
            plan = match self.examined(expected).await? {
                Examined::Expected(plan) => plan,
                Examined::Ended(outcome) => return Ok(outcome),
            };
        }
        let known = match self.terminate(&expected.plan_id).await {
            Ok(terminated) => Known { response: Some(terminated), ..Known::at(plan, impact) },
            Err(error) => match error.outcome() {
                Outcome::NotSent => return Err(error),
                Outcome::Rejected => return Ok(self.refused(expected, plan, error).await),
                _ => Known { error: Some(error), ..Known::at(plan, impact) },
            },
        };
        Ok(self.confirm(expected, known).await)
    }

    /// Looks the plan up, and compares it.
    async fn examined(&self, expected: &TerminateExpectation) -> Result<Examined, Error> {
        let found = self.find(&expected.brand_id, &expected.plan_id).await;
        let plan = found.map_err(|e| lookup_error(expected, e))?;
        let Some(plan) = plan else { return Err(not_found(expected).into()) };
        let mut differences = expected.differences(&plan);
        if differences.is_empty() {
            if plan.plan_state.is_final() {
                return Ok(Examined::Ended(TerminateOutcome::AlreadyEnded(Box::new(plan))));
            }
            if plan.plan_state == PlanState::Terminating {
                // Somebody else's termination has begun: a second one would tell nothing.
                return Ok(Examined::Ended(self.confirm(expected, Known::nothing(plan)).await));
            }
            differences = expected.state_difference(&plan);
        }
        if differences.is_empty() {
            return Ok(Examined::Expected(plan));
        }
        Ok(Examined::Ended(TerminateOutcome::Mismatch(Box::new(plan), differences)))
    }

    /// Reads the state once: another caller may have ended the plan at the same time, and that be why this call was
    /// refused.
    async fn refused(
        &self,
        expected: &TerminateExpectation,
        plan: Plan,
        error: Error,
    ) -> TerminateOutcome {
        let read = self.find(&expected.brand_id, &expected.plan_id);
        match timeout(expected.confirm_within, read).await {
            Ok(Ok(Some(plan))) if plan.plan_state.is_final() => {
                TerminateOutcome::AlreadyEnded(Box::new(plan))
            }
            _ => TerminateOutcome::Refused(Box::new(plan), Box::new(error)),
        }
    }

    /// Reads the state until it is final, or time is up.
    async fn confirm(&self, expected: &TerminateExpectation, known: Known) -> TerminateOutcome {
        let Known { mut plan, impact, is_sent, response, error } = known;
        let begin = Instant::now();
        let deadline = begin.checked_add(expected.confirm_within).unwrap_or_else(|| {
            // Longer than any process runs.
            begin + Duration::from_secs(30 * 365 * 86_400)
        });
        let (mut wait, mut read_error) = (FIRST_WAIT, None);
        loop {
            let read = self.find(&expected.brand_id, &expected.plan_id);
            match timeout_at(deadline, read).await {
                Ok(Ok(Some(found))) => {
                    (plan, read_error) = (found, None);
                    match plan.plan_state {
                        PlanState::Terminated if is_sent => {
                            let confirmed = ConfirmedTermination { plan, response, impact };
                            return TerminateOutcome::Terminated(Box::new(confirmed));
                        }
                        PlanState::Terminated | PlanState::Expired => {
                            return TerminateOutcome::AlreadyEnded(Box::new(plan));
                        }
                        _ => {}
                    }
                }
                Ok(Ok(None)) => read_error = Some(not_found(expected).into()),
                Ok(Err(error)) => read_error = Some(error),
                Err(_) => break,
            }
            let next = Instant::now() + wait;
            if next >= deadline {
                break;
            }
            sleep_until(next).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        let unconfirmed =
            UnconfirmedTermination { plan, is_sent, response, error, read_error, impact };
        TerminateOutcome::Unconfirmed(Box::new(unconfirmed))
    }
}

/// A plan before its termination.
#[expect(clippy::large_enum_variant, reason = "it lives only here")]
enum Examined {
    /// It is the expected one.
    Expected(Plan),
    /// It is not to be terminated.
    Ended(TerminateOutcome),
}

/// What is known when the state is read.
struct Known {
    plan: Plan,
    impact: Option<Impact>,
    is_sent: bool,
    response: Option<Terminated>,
    error: Option<Error>,
}

impl Known {
    fn at(plan: Plan, impact: Option<Impact>) -> Self {
        Self { plan, impact, is_sent: true, response: None, error: None }
    }

    fn nothing(plan: Plan) -> Self {
        Self { is_sent: false, ..Self::at(plan, None) }
    }
}

fn lookup_error(expected: &TerminateExpectation, error: Error) -> Error {
    LookupError::new(expected.plan_id.clone(), error).into()
}

fn not_found(expected: &TerminateExpectation) -> PlanNotFoundError {
    let TerminateExpectation { brand_id, plan_id, .. } = expected;
    PlanNotFoundError { brand_id: brand_id.clone(), plan_id: plan_id.clone() }
}
