//! What became of one plan.

use serde::{Deserialize, Serialize};

use crate::plan_state::PlanState;

/// What became of one plan of a list, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PlanOutcome {
    /// A termination of this job ended it.
    #[non_exhaustive]
    Terminated {
        /// The `Request-ID` of the verified 204. It is missing if the state alone shows the end: then the outcome of the
        /// call was unknown, or a crash hid it, and another caller may have ended the plan at the same time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// Whether its state was read as `TERMINATED` afterwards.
        is_confirmed: bool,
    },
    /// It had ended, or ended by another way than this job. This job terminated nothing.
    #[non_exhaustive]
    AlreadyEnded {
        /// `TERMINATED` or `EXPIRED`.
        state: PlanState,
    },
    /// It is not the expected plan, or the brand has no such plan. Nothing was sent but queries.
    #[non_exhaustive]
    Mismatch {
        /// How it differs, one line each.
        differences: Vec<String>,
    },
    /// WeChat Pay refused the termination: it was not carried out.
    #[non_exhaustive]
    Refused {
        /// The error, on one line.
        error: String,
        /// The code of the response, such as `NO_AUTH`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// The `Request-ID` of the response.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
    },
    /// Whether it has ended is not known. The next run reads it first.
    #[non_exhaustive]
    Unconfirmed {
        /// Why, on one line.
        error: String,
        /// Whether this job sent a termination. It did not if another one had begun (`PLAN_TERMINATING`).
        is_sent: bool,
        /// The state that was read last, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<PlanState>,
        /// The `Request-ID` of the response, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
    },
    /// A dry run found that it would be terminated.
    #[non_exhaustive]
    WouldTerminate {
        /// The state that was read.
        state: PlanState,
    },
    /// Another machine of the same job has dealt with it.
    #[non_exhaustive]
    Elsewhere {
        /// What it says became of the plan.
        said: String,
    },
}

impl PlanOutcome {
    /// Returns whether the plan has certainly ended, by this job or otherwise. What became of a plan
    /// [elsewhere](Self::Elsewhere) is in the journal there.
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Terminated { .. } | Self::AlreadyEnded { .. })
    }

    /// Returns whether the plan is settled, so that a later run leaves it alone.
    pub fn is_settled(&self) -> bool {
        !matches!(self, Self::Unconfirmed { .. })
    }

    /// Returns the name: `terminated`, `already_ended`, `mismatch`, `refused`, `unconfirmed`, `would_terminate` or
    /// `elsewhere`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Terminated { .. } => "terminated",
            Self::AlreadyEnded { .. } => "already_ended",
            Self::Mismatch { .. } => "mismatch",
            Self::Refused { .. } => "refused",
            Self::Unconfirmed { .. } => "unconfirmed",
            Self::WouldTerminate { .. } => "would_terminate",
            Self::Elsewhere { .. } => "elsewhere",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_that_of_the_journal() {
        let state = || PlanState::Expired;
        for outcome in [
            PlanOutcome::Terminated { request_id: None, is_confirmed: true },
            PlanOutcome::AlreadyEnded { state: state() },
            PlanOutcome::Mismatch { differences: vec!["x".into()] },
            PlanOutcome::Refused { error: "no".into(), code: None, request_id: None },
            PlanOutcome::Unconfirmed {
                error: "no".into(),
                is_sent: true,
                state: None,
                request_id: None,
            },
            PlanOutcome::WouldTerminate { state: state() },
            PlanOutcome::Elsewhere { said: "terminated".into() },
        ] {
            let json = serde_json::to_value(&outcome).unwrap();
            assert_eq!(json["outcome"], outcome.name());
            assert_eq!(serde_json::from_value::<PlanOutcome>(json).unwrap(), outcome);
        }
    }
}
