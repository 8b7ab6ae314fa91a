//! How a checked termination ends.

use wxpay_transport::Outcome;

use super::expectation::Difference;
use super::impact::Impact;
use crate::error::Error;
use crate::plan::Plan;
use crate::terminated::Terminated;

/// How [`terminate_checked`](crate::DeliveryPlans::terminate_checked) ended.
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "the plan has ended only with `Terminated` and `AlreadyEnded`"]
pub enum TerminateOutcome {
    /// The plan is `TERMINATED`: the state was read after the termination was sent.
    Terminated(Box<ConfirmedTermination>),
    /// The plan had ended before, or ended by another way than this call, as far as can be known.
    AlreadyEnded(Box<EndedPlan>),
    /// The plan is not the expected one. Nothing was sent but queries.
    Mismatch(Box<Plan>, Vec<Difference>),
    /// WeChat Pay refused the termination: it was not carried out. The plan is as it was read after the refusal, and had
    /// not ended then.
    Refused(Box<Plan>, Box<Error>),
    /// Whether the plan has ended is not known.
    Unconfirmed(Box<UnconfirmedTermination>),
}

impl TerminateOutcome {
    /// Returns whether the plan has certainly ended, by this call or otherwise.
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Terminated(_) | Self::AlreadyEnded(_))
    }
}

/// A plan that has ended, though not by this call, as far as can be known.
#[derive(Debug)]
#[non_exhaustive]
pub struct EndedPlan {
    /// The plan. Its state says how it ended: `TERMINATED` or `EXPIRED`.
    pub plan: Plan,
    /// Whether this call sent a termination.
    pub is_sent: bool,
    /// The verified 204, if there was one: the plan expired nevertheless.
    pub response: Option<Terminated>,
    /// Why the termination was refused, or its outcome unknown.
    pub error: Option<Error>,
}

/// A termination that was confirmed by reading the state.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConfirmedTermination {
    /// The plan, as it was read afterwards.
    pub plan: Plan,
    /// The verified 204. It is missing if its outcome was unknown: then the state shows that the plan was terminated,
    /// by this call or, at the same time, by another one.
    pub response: Option<Terminated>,
    /// The brand's other plans on the same stock and coupon, as they were before. Missing if the search was left out, or
    /// failed.
    pub impact: Option<Impact>,
    /// Why the search for other plans failed.
    pub impact_error: Option<Error>,
}

/// A termination whose result is not known when time is up.
#[derive(Debug)]
#[non_exhaustive]
pub struct UnconfirmedTermination {
    /// The plan as it was read last; if [`is_read`](Self::is_read) is `false`, as it was looked up before.
    pub plan: Plan,
    /// Whether this call sent a termination. It did not if another one had begun (`PLAN_TERMINATING`).
    pub is_sent: bool,
    /// The verified 204, if there was one. Whether that means "done" or "accepted" is not documented.
    pub response: Option<Terminated>,
    /// Why the outcome of the termination is unknown, or why it was refused, if there was no verified 204.
    pub error: Option<Error>,
    /// Whether the state was read at least once afterwards.
    pub is_read: bool,
    /// Why the last read of the state failed, if it did; missing if time was up before it finished.
    pub read_error: Option<Error>,
    /// The brand's other plans on the same stock and coupon, as they were before. Missing if the search was left out, or
    /// failed.
    pub impact: Option<Impact>,
    /// Why the search for other plans failed.
    pub impact_error: Option<Error>,
}

impl UnconfirmedTermination {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        let outcome = self.error.as_ref().map(Error::outcome);
        match (self.is_sent, &self.response) {
            (false, _) => {
                "another termination has begun, and nothing was sent: read the state until it is final"
            }
            (true, None) if outcome == Some(Outcome::Rejected) => {
                "the termination was refused, but the plan may be ended by another one: read the state until it is final, or stays as it is"
            }
            (true, Some(_)) if self.is_read => {
                "the termination was accepted, but the state has not followed: read the state until it is final, and do not send it again"
            }
            (true, Some(_)) => {
                "the termination was accepted, but the state could not be read since: read the state until it is final, and do not send it again"
            }
            (true, None) if self.is_read => {
                "the termination may have been carried out: read the state until it is final; send it again only if the state stays as it is"
            }
            (true, None) => {
                "the termination may have been carried out, and the state could not be read since: read the state before anything else"
            }
        }
    }
}
