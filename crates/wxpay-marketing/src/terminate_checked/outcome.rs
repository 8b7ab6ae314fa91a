//! How a checked termination ends.

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
    /// The plan had ended, or ended by another way than this call; `plan_state` says how. This call terminated nothing.
    AlreadyEnded(Box<Plan>),
    /// The plan is not the expected one. Nothing was sent but queries.
    Mismatch(Box<Plan>, Vec<Difference>),
    /// WeChat Pay refused the termination: it was not carried out. The plan is as it was looked up before.
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

/// A termination that was confirmed by reading the state.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ConfirmedTermination {
    /// The plan, as it was read afterwards.
    pub plan: Plan,
    /// The verified 204. It is missing if its outcome was unknown: then the state shows that the plan was terminated,
    /// by this call or, at the same time, by another one.
    pub response: Option<Terminated>,
    /// The brand's other plans on the same stock and coupon, as they were before. Missing if the search was left out.
    pub impact: Option<Impact>,
}

/// A termination whose result is not known when time is up.
#[derive(Debug)]
#[non_exhaustive]
pub struct UnconfirmedTermination {
    /// The plan as it was read last.
    pub plan: Plan,
    /// Whether this call sent a termination. It did not if another one had begun (`PLAN_TERMINATING`).
    pub is_sent: bool,
    /// The verified 204, if there was one. Whether that means "done" or "accepted" is not documented.
    pub response: Option<Terminated>,
    /// Why the outcome of the termination is unknown, if there was no verified 204.
    pub error: Option<Error>,
    /// Why the last read of the state failed, if it did.
    pub read_error: Option<Error>,
    /// The brand's other plans on the same stock and coupon, as they were before.
    pub impact: Option<Impact>,
}

impl UnconfirmedTermination {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match (self.is_sent, &self.response) {
            (false, _) => {
                "another termination has begun, and nothing was sent: read the state until it is final"
            }
            (true, Some(_)) => {
                "the termination was accepted, but the state has not followed: read the state until it is final, and do not send it again"
            }
            (true, None) => {
                "the termination may have been carried out: read the state until it is final; send it again only if the state stays as it is"
            }
        }
    }
}
