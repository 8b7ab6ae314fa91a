//! The state of each plan in memory: one byte.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crate::bulk::outcome::PlanOutcome;

macro_rules! plan_steps {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// How far a plan is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum PlanStep {
            $($(#[$doc])* $name,)+
        }

        impl PlanStep {
            const ALL: &[Self] = &[$(Self::$name),+];
        }
    };
}

plan_steps! {
    /// Nothing has happened yet.
    Open,
    /// Nothing happened in this run, for a reason that may pass.
    Postponed,
    /// Its call may have gone out.
    Calling,
    /// Its call may have gone out in an earlier run.
    InDoubt,
    Unconfirmed,
    /// Another termination of it has begun, not by this job.
    Ending,
    Terminated,
    AlreadyEnded,
    Mismatch,
    Refused,
    WouldTerminate,
    Elsewhere,
}

impl PlanStep {
    pub(super) fn of(outcome: &PlanOutcome) -> Self {
        match outcome {
            PlanOutcome::Terminated { .. } => Self::Terminated,
            PlanOutcome::AlreadyEnded { .. } => Self::AlreadyEnded,
            PlanOutcome::Mismatch { .. } => Self::Mismatch,
            PlanOutcome::Refused { .. } => Self::Refused,
            PlanOutcome::Unconfirmed { is_sent: true, .. } => Self::Unconfirmed,
            PlanOutcome::Unconfirmed { is_sent: false, .. } => Self::Ending,
            PlanOutcome::WouldTerminate { .. } => Self::WouldTerminate,
            PlanOutcome::Elsewhere { .. } => Self::Elsewhere,
        }
    }

    /// Returns whether nothing can follow in a journal.
    pub(crate) fn is_settled(self) -> bool {
        !matches!(
            self,
            Self::Open
                | Self::Postponed
                | Self::Calling
                | Self::InDoubt
                | Self::Unconfirmed
                | Self::Ending
        )
    }

    /// Returns whether a pass of this run takes it up.
    pub(crate) fn is_due(self) -> bool {
        matches!(self, Self::Open | Self::InDoubt)
    }
}

/// The states of all plans, and how many plans are in each.
#[derive(Debug, Default)]
pub(crate) struct PlanSteps {
    steps: Vec<AtomicU8>,
    counts: [AtomicUsize; PlanStep::ALL.len()],
}

impl PlanSteps {
    pub(super) fn add(&mut self) {
        self.steps.push(AtomicU8::new(PlanStep::Open as u8));
        self.count(PlanStep::Open).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// Returns the state of a plan; `None` if there is no such plan.
    pub(crate) fn step(&self, n: usize) -> Option<PlanStep> {
        let step = self.steps.get(n)?.load(Ordering::Relaxed);
        PlanStep::ALL.get(usize::from(step)).copied()
    }

    pub(crate) fn set(&self, n: usize, step: PlanStep) {
        let Some(cell) = self.steps.get(n) else { return };
        let before = cell.swap(step as u8, Ordering::Relaxed);
        if let Some(before) = self.counts.get(usize::from(before)) {
            before.fetch_sub(1, Ordering::Relaxed);
        }
        self.count(step).fetch_add(1, Ordering::Relaxed);
    }

    /// Begins a run: what was postponed is open again, and what may have been called is in doubt.
    pub(crate) fn begin_run(&self) {
        for n in 0..self.len() {
            match self.step(n) {
                Some(PlanStep::Postponed | PlanStep::Ending) => self.set(n, PlanStep::Open),
                Some(PlanStep::Calling | PlanStep::Unconfirmed) => self.set(n, PlanStep::InDoubt),
                _ => {}
            }
        }
    }

    pub(crate) fn number(&self, step: PlanStep) -> usize {
        self.count(step).load(Ordering::Relaxed)
    }

    fn count(&self, step: PlanStep) -> &AtomicUsize {
        const { assert!(PlanStep::ALL.len() == PlanStep::Elsewhere as usize + 1) };
        #[expect(clippy::indexing_slicing, reason = "there is one for each")]
        &self.counts[step as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_a_byte_and_is_counted_where_it_is() {
        assert_eq!(size_of::<AtomicU8>(), 1);
        let mut steps = PlanSteps::default();
        for _ in 0..3 {
            steps.add();
        }
        steps.set(1, PlanStep::Calling);
        steps.set(2, PlanStep::Unconfirmed);
        assert_eq!(steps.number(PlanStep::Open), 1);
        steps.begin_run();
        assert_eq!((steps.number(PlanStep::InDoubt), steps.number(PlanStep::Open)), (2, 1));
        assert_eq!(steps.step(2), Some(PlanStep::InDoubt));
        assert_eq!(steps.step(3), None);
        steps.set(3, PlanStep::Refused);
        assert_eq!(steps.number(PlanStep::Refused), 0);
    }

    #[test]
    fn what_is_not_settled_is_taken_up_by_this_run_or_the_next() {
        for step in PlanStep::ALL {
            let mut steps = PlanSteps::default();
            steps.add();
            steps.set(0, *step);
            steps.begin_run();
            assert_ne!(steps.step(0).unwrap().is_due(), step.is_settled(), "{step:?}");
        }
    }
}
