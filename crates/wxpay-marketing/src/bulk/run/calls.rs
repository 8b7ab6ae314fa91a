//! Queries, waits, and leases on the way of a plan.

use std::time::Duration;

use tokio::time::Instant;
use wxpay_auth::internal::log;
use wxpay_transport::Transport;

use super::confirm::Sent;
use super::job::Job;
use super::judgement::ended;
use super::progress::BulkEvent;
use crate::bulk::error::BulkError;
use crate::bulk::leases::{Claim, HeldLease};
use crate::bulk::outcome::PlanOutcome;
use crate::bulk::plan::BulkPlan;
use crate::error::Error as CallError;
use crate::plan::Plan;
use crate::plan_state::PlanState;

/// Why a plan could not be read.
pub(super) enum Interrupted {
    Stopped,
    Failed(CallError),
}

impl<T: Transport> Job<T> {
    /// Reads a plan. If too many requests were sent, it waits for as long as it takes.
    pub(super) async fn read(&self, plan: &BulkPlan) -> Result<Option<Plan>, Interrupted> {
        let mut waits = 0;
        loop {
            let error = match self.plans.find(plan.brand_id(), plan.plan_id()).await {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            if !is_throttled(&error) {
                return Err(Interrupted::Failed(error));
            }
            if self.wait(plan, &error, waits).await {
                return Err(Interrupted::Stopped);
            }
            waits += 1;
        }
    }

    /// Waits after the refusal of too many requests. Returns whether the run was stopped meanwhile.
    pub(super) async fn wait(&self, plan: &BulkPlan, error: &CallError, waits: u32) -> bool {
        let wait = asked_wait(error).unwrap_or_else(|| backoff(waits)).min(LONGEST_WAIT);
        self.tell(BulkEvent::Throttled { plan, wait });
        self.stop.pause(wait).await
    }

    /// Reads the state once after a refusal: another caller may have ended the plan, and that be why.
    pub(super) async fn refused(
        &self,
        plan: &BulkPlan,
        error: CallError,
        in_doubt: bool,
    ) -> PlanOutcome {
        match self.read(plan).await {
            Ok(Some(found)) if found.plan_state.is_final() => ended(&found.plan_state, in_doubt),
            // Another caller's termination has begun.
            Ok(Some(found)) if found.plan_state == PlanState::Terminating => {
                self.confirm(plan, Sent::refused(error, in_doubt)).await
            }
            _ => PlanOutcome::Refused {
                error: error.to_string(),
                code: error.api().and_then(|api| api.code()).map(str::to_owned),
                request_id: error.request_id().map(str::to_owned),
            },
        }
    }

    /// Claims a plan; waits while the store is away. `None` if the run was stopped meanwhile.
    pub(super) async fn claim(&self, plan: &BulkPlan) -> Result<Option<Claim>, BulkError> {
        let (begin, mut waits) = (Instant::now(), 0);
        loop {
            match self.leases.claim(plan).await {
                Ok(claim) => return Ok(Some(claim)),
                Err(error) if begin.elapsed() >= self.settings.lease_outage => {
                    return Err(error.into());
                }
                Err(error) => self.tell(BulkEvent::LeasesAway { plan, error: &error }),
            }
            let left = self.settings.lease_outage.saturating_sub(begin.elapsed());
            if self.stop.pause(backoff(waits).min(left)).await {
                return Ok(None);
            }
            waits += 1;
        }
    }

    /// Renews a lease if it is time. Returns whether the plan is still this machine's: a store that does not say so
    /// says no.
    pub(super) async fn keeps(&self, plan: &BulkPlan, held: &mut HeldLease) -> bool {
        let Some(lease) = held.lease().filter(|lease| lease.is_to_be_renewed()) else {
            return held.is_ours();
        };
        match self.leases.renew(plan, lease).await {
            Ok(renewed) => held.replace(renewed),
            Err(error) => {
                log::warn!(plan_id = %plan.plan_id(), %error, "a lease could not be renewed");
                held.replace(None);
            }
        }
        held.is_ours()
    }

    /// Says that a plan is settled, or gives it back. If that fails, its lease expires.
    pub(super) async fn give_back(
        &self,
        plan: &BulkPlan,
        held: &HeldLease,
        settled: Option<&PlanOutcome>,
    ) {
        let Some(lease) = held.lease() else { return };
        let given_back = match settled {
            Some(outcome) => self.leases.done(plan, lease, outcome).await,
            None => self.leases.release(plan, lease).await,
        };
        if let Err(error) = given_back {
            log::warn!(plan_id = %plan.plan_id(), %error, "a lease could not be given back: it expires");
        }
    }
}

const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Returns whether the request was not accepted because there are too many.
pub(super) fn is_throttled(error: &CallError) -> bool {
    matches!(error, CallError::Transport(wxpay_transport::Error::Overload(_)))
        || error.api().is_some_and(|api| api.status().as_u16() == 429)
}

fn asked_wait(error: &CallError) -> Option<Duration> {
    match error {
        CallError::Transport(wxpay_transport::Error::Overload(overload)) => overload.retry_after(),
        error => error.api()?.retry_after(),
    }
}

fn backoff(waits: u32) -> Duration {
    Duration::from_millis(250).saturating_mul(1 << waits.min(8)).min(LONGEST_WAIT)
}
