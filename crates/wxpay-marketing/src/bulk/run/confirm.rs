//! Reads the state after a termination.

use tokio::time::timeout_at;
use wxpay_transport::Transport;

use super::job::Job;
use super::judgement::ended;
use crate::bulk::outcome::PlanOutcome;
use crate::bulk::plan::BulkPlan;
use crate::error::Error as CallError;
use crate::lookup_error::PlanNotFoundError;
use crate::plan_state::PlanState;
use crate::state_reads::StateReads;
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

    /// A call was refused, and a termination has begun: somebody else's, or that of an earlier run of this job.
    pub(super) fn refused(error: CallError, is_ours: bool) -> Self {
        Self { is_ours, response: None, error: Some(error) }
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

impl<T: Transport> Job<T> {
    /// Reads the state until it is final, or time is up. Nothing is called again.
    pub(super) async fn confirm(&self, plan: &BulkPlan, sent: Sent) -> PlanOutcome {
        let request_id = sent.response.as_ref().and_then(|response| response.request_id.clone());
        if sent.response.is_some() && !self.settings.confirms {
            return PlanOutcome::Terminated { request_id, is_confirmed: false };
        }
        let mut reads = StateReads::within(self.settings.confirm_within);
        let mut state = None;
        let mut read_error: Option<String>;
        loop {
            let read = self.plans.find(plan.brand_id(), plan.plan_id());
            match timeout_at(reads.deadline(), read).await {
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
                Err(_) => {
                    // An earlier error is not that of this read.
                    read_error = state.is_none().then(|| "time was up".to_owned());
                    break;
                }
            }
            if !reads.next().await {
                break;
            }
        }
        let error = sent.doubt(read_error.as_deref());
        let failed = sent.error.as_ref().and_then(|error| error.request_id());
        let request_id = request_id.or_else(|| failed.map(str::to_owned));
        PlanOutcome::Unconfirmed { error, state, request_id }
    }
}
