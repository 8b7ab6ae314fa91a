//! The lines of a journal.

use serde::{Deserialize, Serialize};
use wxpay_auth::{Mchid, foreign_text};

use super::error::JournalError;
use super::owner::JobOwner;
use super::step::PlanStep;
use crate::bulk::outcome::PlanOutcome;
use crate::bulk::plan::BulkPlan;

/// What the first line says the file is.
const KIND: &str = "wxpay bulk termination";
pub(super) const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    journal: String,
    version: u32,
    mchid: Mchid,
    base_url: String,
    dry_run: bool,
}

impl Header {
    pub(super) fn new(owner: &JobOwner, dry_run: bool) -> Self {
        Self {
            journal: KIND.to_owned(),
            version: VERSION,
            mchid: owner.mchid().clone(),
            base_url: owner.base_url().to_owned(),
            dry_run,
        }
    }

    /// Reads the first line, of any version.
    pub(super) fn read(line: &[u8]) -> Result<Self, JournalError> {
        #[derive(Deserialize)]
        struct AnyVersion {
            journal: String,
            version: u32,
        }
        // An error of the parser may repeat a line of a file that is something else.
        let any: AnyVersion = serde_json::from_slice(line).map_err(|_| not_a_journal())?;
        if any.journal != KIND {
            return Err(not_a_journal());
        }
        if any.version != VERSION {
            return Err(JournalError::Version { found: any.version });
        }
        serde_json::from_slice(line).map_err(|error| JournalError::malformed(1, error))
    }

    /// Checks that the journal is that of this job.
    pub(super) fn require(&self, expected: &Self) -> Result<(), JournalError> {
        for (field, found, expected) in [
            ("mchid", self.mchid.as_str(), expected.mchid.as_str()),
            ("base_url", &self.base_url, &expected.base_url),
        ] {
            if found != expected {
                let (expected, found) = (expected.to_owned(), foreign_text(found, 100, &[]));
                return Err(JournalError::OtherOwner { field, expected, found });
            }
        }
        if self.dry_run != expected.dry_run {
            return Err(JournalError::OtherMode { is_dry_run: self.dry_run });
        }
        Ok(())
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

pub(super) fn not_a_journal() -> JournalError {
    JournalError::malformed(1, "it is no journal of a bulk termination")
}

/// A plan of the list.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    /// Its number, from 0.
    pub(crate) n: usize,
    #[serde(flatten)]
    pub(crate) plan: BulkPlan,
}

/// The line that closes the list.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed {
    /// How many plans it has.
    pub(super) listed: usize,
}

impl Listed {
    pub(super) fn is_on(line: &[u8]) -> bool {
        line.starts_with(b"{\"listed\":")
    }
}

/// What happened to a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepLine {
    pub(crate) n: usize,
    #[serde(flatten)]
    pub(crate) step: Step,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(crate) enum Step {
    /// It is about to be called. Written to the disk before the call.
    Calling,
    /// The call was not sent, or not accepted: nothing became of it.
    NotCalled {
        /// Why.
        error: String,
    },
    /// How it ended.
    Ended(PlanOutcome),
}

impl Step {
    pub(crate) fn state(&self) -> PlanStep {
        match self {
            Self::Calling => PlanStep::Calling,
            Self::NotCalled { .. } => PlanStep::Open,
            Self::Ended(outcome) => PlanStep::of(outcome),
        }
    }
}

/// Returns a line with its end.
pub(super) fn line(content: &impl Serialize) -> Vec<u8> {
    // Strings, numbers and maps of them cannot fail.
    let mut line = serde_json::to_vec(content).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan_state::PlanState;

    #[test]
    fn a_step_is_one_flat_object() {
        for (step, text) in [
            (Step::Calling, r#"{"n":17,"step":"calling"}"#),
            (
                Step::NotCalled { error: "away".into() },
                r#"{"n":17,"step":"not_called","error":"away"}"#,
            ),
            (
                Step::Ended(PlanOutcome::Terminated {
                    request_id: Some("08F7".into()),
                    is_confirmed: true,
                }),
                r#"{"n":17,"step":"ended","outcome":"terminated","request_id":"08F7","is_confirmed":true}"#,
            ),
            (
                Step::Ended(PlanOutcome::AlreadyEnded { state: PlanState::Expired }),
                r#"{"n":17,"step":"ended","outcome":"already_ended","state":"EXPIRED"}"#,
            ),
        ] {
            let step = StepLine { n: 17, step };
            assert_eq!(serde_json::to_string(&step).unwrap(), text);
            assert_eq!(serde_json::from_str::<StepLine>(text).unwrap(), step);
        }
    }
}
