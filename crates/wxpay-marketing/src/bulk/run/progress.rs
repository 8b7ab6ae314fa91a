//! How far a job is, and what it tells meanwhile.

use std::time::Duration;

use crate::bulk::journal::{PlanStep, PlanSteps};
use crate::bulk::leases::LeaseError;
use crate::bulk::outcome::PlanOutcome;
use crate::bulk::plan::BulkPlan;
use crate::error::Error;

/// How many plans of a job are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BulkProgress {
    /// All plans of the list.
    pub plans: usize,
    /// Nothing has happened to them yet.
    pub open: usize,
    /// Their call is in flight, or may have gone out in an earlier run. They are read first.
    pub in_doubt: usize,
    /// Whether they have ended is not known. The next run reads them first.
    pub unconfirmed: usize,
    /// Ended by this job.
    pub terminated: usize,
    /// Ended before, or by another way.
    pub already_ended: usize,
    /// Not the expected plans.
    pub mismatch: usize,
    /// Refused by WeChat Pay.
    pub refused: usize,
    /// A dry run found that they would be terminated.
    pub would_terminate: usize,
    /// Dealt with by another machine.
    pub elsewhere: usize,
}

impl BulkProgress {
    pub(crate) fn of(steps: &PlanSteps) -> Self {
        let number = |step| steps.number(step);
        Self {
            plans: steps.len(),
            open: number(PlanStep::Open) + number(PlanStep::Postponed),
            in_doubt: number(PlanStep::Calling) + number(PlanStep::InDoubt),
            unconfirmed: number(PlanStep::Unconfirmed) + number(PlanStep::Ending),
            terminated: number(PlanStep::Terminated),
            already_ended: number(PlanStep::AlreadyEnded),
            mismatch: number(PlanStep::Mismatch),
            refused: number(PlanStep::Refused),
            would_terminate: number(PlanStep::WouldTerminate),
            elsewhere: number(PlanStep::Elsewhere),
        }
    }

    /// Returns how many plans another run would take up.
    pub fn left(&self) -> usize {
        self.open + self.in_doubt + self.unconfirmed
    }

    /// Returns whether every plan is settled.
    pub fn is_complete(&self) -> bool {
        self.left() == 0
    }
}

/// What a run tells while it goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum BulkEvent<'a> {
    /// A plan is about to be called. The journal says so on disk.
    #[non_exhaustive]
    Calling {
        /// The plan.
        plan: &'a BulkPlan,
    },
    /// It is known what became of a plan, or it remains unconfirmed.
    #[non_exhaustive]
    Ended {
        /// The plan.
        plan: &'a BulkPlan,
        /// What became of it.
        outcome: &'a PlanOutcome,
    },
    /// A plan could be neither looked up nor called. A later run takes it up.
    #[non_exhaustive]
    Postponed {
        /// The plan.
        plan: &'a BulkPlan,
        /// Why.
        error: &'a Error,
    },
    /// Another machine has the plan at the moment. This run comes back to it.
    #[non_exhaustive]
    Taken {
        /// The plan.
        plan: &'a BulkPlan,
    },
    /// Too many requests were sent. The plan waits.
    #[non_exhaustive]
    Throttled {
        /// The plan.
        plan: &'a BulkPlan,
        /// For how long.
        wait: Duration,
    },
    /// The store of the leases is away. Nothing is called meanwhile.
    #[non_exhaustive]
    LeasesAway {
        /// The plan that waits for a lease.
        plan: &'a BulkPlan,
        /// Why.
        error: &'a LeaseError,
    },
}
