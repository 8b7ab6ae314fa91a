//! Reads the state after a termination.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use wxpay_transport::Transport;

use super::job::Job;
use super::judgement::ended;
use crate::bulk::outcome::PlanOutcome;
use crate::bulk::plan::BulkPlan;
use crate::error::Error as CallError;
use crate::lookup_error::PlanNotFoundError;
use crate::plan_state::PlanState;
use crate::terminated::Terminated;

/// What was sent before the state is read.
pub(super) struct Sent {
    /// Whether this job sent it.
    is_ours: bool,
    response: Option<Terminated>,
    error: Option<CallError>,
}

impl Sent {
    /// A call got a verified 204.
    pub(super) fn accepted(response: Terminated) -> Self {
        Self { is_ours: true, response: Some(response), error: None }
    }

    /// The outcome of a call is not known.
    pub(super) fn unknown(error: CallError) -> Self {
        Self { is_ours: true, response: None, error: Some(error) }
    }

    /// An earlier run of this job may have sent it.
    pub(super) fn earlier() -> Self {
        Self { is_ours: true, response: None, error: None }
    }

    /// Somebody else's termination has begun.
    pub(super) fn by_another() -> Self {
        Self { is_ours: false, response: None, error: None }
    }

    /// Says why the end is not known.
    fn doubt(&self, read_error: Option<&str>) -> String {
        let doubt = match (&self.error, &self.response) {
            (Some(error), _) => error.to_string(),
            (None, Some(_)) => "the state has not followed the verified 204".to_owned(),
            (None, None) => "a termination has begun, and the state has not followed".to_owned(),
        };
        match read_error {
            Some(read_error) => format!("{doubt}; the state cannot be read: {read_error}"),
            None => doubt,
        }
    }
}

/// Waits between two reads of the state: the first one, doubled up to the longest one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Longer than any process runs.
const ENDLESS: Duration = Duration::from_secs(30 * 365 * 86_400);

impl<T: Transport> Job<T> {
    /// Reads the state until it is final, or time is up. Nothing is called again.
    pub(super) async fn confirm(&self, plan: &BulkPlan, sent: Sent) -> PlanOutcome {
        let request_id = sent.response.as_ref().and_then(|response| response.request_id.clone());
        if sent.response.is_some() && !self.settings.confirms {
            return PlanOutcome::Terminated { request_id, is_confirmed: false };
        }
        let begin = Instant::now();
        let deadline =
            begin.checked_add(self.settings.confirm_within).unwrap_or_else(|| begin + ENDLESS);
        let (mut wait, mut state, mut read_error) = (FIRST_WAIT, None, None);
        loop {
            let read = self.plans.find(plan.brand_id(), plan.plan_id());
            match timeout_at(deadline, read).await {
                Ok(Ok(Some(found))) => {
                    if found.plan_state == PlanState::Terminated && sent.is_ours {
                        return PlanOutcome::Terminated { request_id, is_confirmed: true };
                    }
                    if found.plan_state.is_final() {
                        return ended(&found.plan_state, false);
                    }
                    (state, read_error) = (Some(found.plan_state), None);
                }
                Ok(Ok(None)) => {
                    let (brand_id, plan_id) = (plan.brand_id().clone(), plan.plan_id().clone());
                    read_error = Some(PlanNotFoundError { brand_id, plan_id }.to_string());
                }
                Ok(Err(error)) => read_error = Some(error.to_string()),
                Err(_) => break,
            }
            let next = Instant::now() + wait;
            if next >= deadline {
                break;
            }
            sleep_until(next).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        let error = sent.doubt(read_error.as_deref());
        let failed = sent.error.as_ref().and_then(|error| error.request_id());
        let request_id = request_id.or_else(|| failed.map(str::to_owned));
        PlanOutcome::Unconfirmed { error, is_sent: sent.is_ours, state, request_id }
    }
}
