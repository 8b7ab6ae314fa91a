//! Deals with one plan.

use std::sync::Arc;

use wxpay_auth::internal::{log, panics};
use wxpay_transport::{Outcome, Transport};

use super::calls::Interrupted;
use super::confirm::Sent;
use super::judgement::{Judgement, judge};
use super::progress::{BulkEvent, BulkProgress};
use super::stop::StopHandle;
use super::{Observer, Settings};
use crate::bulk::error::BulkError;
use crate::bulk::journal::{Item, JournalSteps, PlanStep, Step};
use crate::bulk::leases::{Claim, HeldLease, PlanLeases};
use crate::bulk::outcome::PlanOutcome;
use crate::bulk::plan::BulkPlan;
use crate::delivery_plans::DeliveryPlans;
use crate::error::Error as CallError;

/// What the tasks of a run share.
pub(super) struct Job<T> {
    pub(super) plans: Arc<DeliveryPlans<T>>,
    pub(super) journal: JournalSteps,
    pub(super) settings: Settings,
    pub(super) is_dry_run: bool,
    pub(super) observer: Option<Arc<Observer>>,
    pub(super) leases: Arc<dyn PlanLeases>,
    pub(super) stop: StopHandle,
}

/// What a run has to know of a plan that it dealt with.
pub(super) enum Handled {
    /// WeChat Pay, or another machine, said something about it.
    Reached,
    /// Another machine has it.
    Taken,
    /// It could be neither looked up nor called.
    Unreachable(CallError),
    /// The run was stopped while it waited.
    Stopped,
}

/// How the work on a plan ends.
enum End {
    Outcome(PlanOutcome),
    /// The lease was lost before anything was sent.
    LeaseLost,
    Unreachable(CallError),
    Stopped,
}

impl From<Interrupted> for End {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Stopped => Self::Stopped,
            Interrupted::Failed(error) => Self::Unreachable(error),
        }
    }
}

impl<T: Transport> Job<T> {
    pub(super) async fn handle(&self, item: Item) -> Result<Handled, BulkError> {
        let Item { n, plan } = &item;
        let in_doubt = self.journal.steps.step(*n) == Some(PlanStep::InDoubt);
        // A dry run calls nothing that could be called twice.
        let claim = if self.is_dry_run { None } else { Some(self.claim(plan).await?) };
        let mut lease = match claim {
            None => HeldLease::none(),
            Some(None) => return Ok(Handled::Stopped),
            Some(Some(Claim::Mine(lease))) => HeldLease::new(lease),
            Some(Some(Claim::Taken)) => {
                self.tell(BulkEvent::Taken { plan });
                return Ok(Handled::Taken);
            }
            Some(Some(Claim::Done(said))) => {
                let end = self.done_elsewhere(plan, in_doubt, said).await;
                return self.close(*n, plan, in_doubt, end);
            }
        };
        let end = self.work(&item, in_doubt, &mut lease).await?;
        let settled = match &end {
            End::Outcome(outcome) if outcome.is_settled() => Some(outcome.clone()),
            _ => None,
        };
        // The journal first: after a crash, what other machines are told is known here, too.
        let handled = self.close(*n, plan, in_doubt, end)?;
        self.give_back(plan, &lease, settled.as_ref()).await;
        Ok(handled)
    }

    /// Decides on a plan that is settled according to the store. If this machine may have called it itself, before a
    /// crash, it reads what became of that.
    async fn done_elsewhere(&self, plan: &BulkPlan, in_doubt: bool, said: String) -> End {
        if in_doubt {
            match self.read(plan).await.map(|found| judge(plan, found.as_ref(), true)) {
                Ok(Judgement::Settled(outcome)) if outcome.has_ended() => {
                    return End::Outcome(outcome);
                }
                Ok(_) => {}
                Err(interrupted) => return interrupted.into(),
            }
        }
        End::Outcome(PlanOutcome::Elsewhere { said })
    }

    /// Writes how the work on a plan ended.
    fn close(
        &self,
        n: usize,
        plan: &BulkPlan,
        in_doubt: bool,
        end: End,
    ) -> Result<Handled, BulkError> {
        match end {
            End::Outcome(outcome) => {
                self.journal.note(n, Step::Ended(outcome.clone()))?;
                self.tell(BulkEvent::Ended { plan, outcome: &outcome });
                Ok(Handled::Reached)
            }
            End::LeaseLost => {
                self.reopen(n, in_doubt, "the lease was lost before it was called", true)?;
                self.tell(BulkEvent::Taken { plan });
                Ok(Handled::Taken)
            }
            End::Unreachable(error) => {
                self.reopen(n, in_doubt, &error.to_string(), false)?;
                self.tell(BulkEvent::Postponed { plan, error: &error });
                Ok(Handled::Unreachable(error))
            }
            End::Stopped => {
                self.reopen(n, in_doubt, "the run was stopped", false)?;
                Ok(Handled::Stopped)
            }
        }
    }

    /// Looks a plan up, calls it, and confirms its end.
    async fn work(
        &self,
        item: &Item,
        in_doubt: bool,
        lease: &mut HeldLease,
    ) -> Result<End, BulkError> {
        let Item { n, plan } = item;
        if self.is_looked_up(plan, in_doubt) {
            let found = match self.read(plan).await {
                Ok(found) => found,
                Err(interrupted) => return Ok(interrupted.into()),
            };
            match judge(plan, found.as_ref(), in_doubt) {
                Judgement::Settled(outcome) => return Ok(End::Outcome(outcome)),
                // A second termination would tell nothing.
                Judgement::IsEnding if !self.is_dry_run => {
                    let sent = if in_doubt { Sent::earlier() } else { Sent::by_another() };
                    return Ok(End::Outcome(self.confirm(plan, sent).await));
                }
                Judgement::IsEnding => {
                    let error = "a termination has begun".to_owned();
                    let state = found.map(|found| found.plan_state);
                    let (is_sent, request_id) = (false, None);
                    let outcome = PlanOutcome::Unconfirmed { error, is_sent, state, request_id };
                    return Ok(End::Outcome(outcome));
                }
                Judgement::Goes => {}
            }
            if let (true, Some(found)) = (self.is_dry_run, found) {
                let state = found.plan_state;
                return Ok(End::Outcome(PlanOutcome::WouldTerminate { state }));
            }
        }
        self.call(*n, plan, in_doubt, lease).await
    }

    fn is_looked_up(&self, plan: &BulkPlan, in_doubt: bool) -> bool {
        in_doubt
            || self.is_dry_run
            || self.settings.looks_up
            || !plan.is_listed()
            || self.leases.are_shared()
    }

    /// Calls a plan, once the journal says so on disk, and confirms its end.
    async fn call(
        &self,
        n: usize,
        plan: &BulkPlan,
        in_doubt: bool,
        lease: &mut HeldLease,
    ) -> Result<End, BulkError> {
        let mut waits = 0;
        loop {
            if !self.keeps(plan, lease).await {
                return Ok(End::LeaseLost);
            }
            self.journal.calling(n).await?;
            self.tell(BulkEvent::Calling { plan });
            // The disk may have been slow.
            if !lease.is_ours() {
                return Ok(End::LeaseLost);
            }
            let error = match self.plans.terminate(plan.plan_id()).await {
                Ok(terminated) => {
                    let sent = Sent::accepted(terminated);
                    return Ok(End::Outcome(self.confirm(plan, sent).await));
                }
                Err(error) => error,
            };
            match error.outcome() {
                Outcome::Unknown => {
                    return Ok(End::Outcome(self.confirm(plan, Sent::unknown(error)).await));
                }
                _ if super::calls::is_throttled(&error) => {
                    if self.wait(plan, &error, waits).await {
                        return Ok(End::Stopped);
                    }
                    waits += 1;
                }
                Outcome::Rejected if !is_about_all_calls(&error) => {
                    return Ok(End::Outcome(self.refused(plan, error, in_doubt).await));
                }
                _ => return Ok(End::Unreachable(error)),
            }
        }
    }

    /// Notes that nothing became of a plan. What was in doubt before remains so.
    fn reopen(&self, n: usize, in_doubt: bool, why: &str, is_due: bool) -> Result<(), BulkError> {
        let steps = &self.journal.steps;
        if !in_doubt && steps.step(n) == Some(PlanStep::Calling) {
            self.journal.note(n, Step::NotCalled { error: why.to_owned() })?;
        }
        steps.set(
            n,
            match (in_doubt, is_due) {
                (true, true) => PlanStep::InDoubt,
                (true, false) => PlanStep::Calling,
                (false, true) => PlanStep::Open,
                (false, false) => PlanStep::Postponed,
            },
        );
        Ok(())
    }

    pub(super) fn tell(&self, event: BulkEvent<'_>) {
        let Some(observer) = &self.observer else { return };
        let progress = BulkProgress::of(&self.journal.steps);
        if panics::caught(|| observer(event, progress)).is_none() {
            log::error!(hook = "observer", "code of the application panicked: an event is lost");
        }
    }
}

/// Returns whether a refusal is about the key or the clock, so that every other plan would be refused as well.
fn is_about_all_calls(error: &CallError) -> bool {
    error.api().is_some_and(|api| api.status().as_u16() == 401)
}
