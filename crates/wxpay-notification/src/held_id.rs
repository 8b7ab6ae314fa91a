//! An id that is held while its notification is handed over.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use wxpay_auth_core::internal::log;

use crate::handled::Outcome;
use crate::panics::{Ended, run_until};
use crate::replay::{Claim, ReplayStore};

/// For how long a process tries to record that a notification was handed over.
const RECORDING: Duration = Duration::from_secs(600);
/// Between two tries of that.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long one try takes at most, with a store that has no limit of its own.
const ONE_TRY: Duration = Duration::from_secs(10);

/// A claim on an id that this process may hold. Dropping it gives the id back.
///
/// What it sends to the store runs in tasks of their own: a client that goes away cancels the future that handles its
/// request, at any time.
pub(crate) struct HeldId<S: ReplayStore + 'static> {
    store: Arc<S>,
    /// `None` once it is recorded, given back, or known to be another's.
    claim: Option<Claim>,
    keep: Duration,
}

impl<S: ReplayStore + 'static> HeldId<S> {
    pub(crate) fn new(store: Arc<S>, claim: Claim, keep: Duration) -> Self {
        Self { store, claim: Some(claim), keep }
    }

    /// Leaves the id to the one that holds it.
    pub(crate) fn leave_to_others(mut self, outcome: Outcome) -> Outcome {
        self.claim = None;
        outcome
    }

    /// Records that the notification was handed over. Returns whether that is done by this time; if it is not, it goes
    /// on in the background: meanwhile the claim keeps other sendings away, for as long as it lasts.
    pub(crate) async fn record(mut self, until: Instant) -> bool {
        let Some(claim) = self.claim.take() else { return false };
        let (store, keep) = (Arc::clone(&self.store), self.keep);
        let recording = tokio::spawn(async move { record(&*store, &claim, keep).await });
        matches!(timeout_at(until, recording).await, Ok(Ok(true)))
    }

    /// Gives the id back, and waits for that until this time.
    pub(crate) async fn release(mut self, until: Instant, outcome: Outcome) -> Outcome {
        if let Some(releasing) = self.begin_release() {
            let _ = timeout_at(until, releasing).await;
        }
        outcome
    }

    fn begin_release(&mut self) -> Option<JoinHandle<()>> {
        let claim = self.claim.take()?;
        let (store, runtime) = (Arc::clone(&self.store), Handle::try_current().ok()?);
        Some(runtime.spawn(async move {
            // Once: it is given back when the claim runs out, too.
            let until = Instant::now() + ONE_TRY;
            if let Ended::Done(Err(error)) = run_until(until, store.release(&claim)).await {
                log::debug!(?claim, %error, "the id of a notification is given back when its claim runs out");
            }
        }))
    }
}

impl<S: ReplayStore + 'static> Drop for HeldId<S> {
    fn drop(&mut self) {
        self.begin_release();
    }
}

/// Tries until it is recorded.
async fn record<S: ReplayStore>(store: &S, claim: &Claim, keep: Duration) -> bool {
    let (until, mut pause) = (Instant::now() + RECORDING, PAUSE);
    loop {
        match run_until(Instant::now() + ONE_TRY, store.done(claim, keep)).await {
            Ended::Done(Ok(true)) => return true,
            Ended::Done(Ok(false)) => {
                log::warn!(
                    ?claim,
                    "the claim on a notification was lost: it may have been handed over twice"
                );
                return true;
            }
            Ended::Done(Err(error)) => {
                log::debug!(?claim, %error, "it is not recorded yet that a notification was handed over");
            }
            Ended::Late | Ended::Panicked => {
                log::debug!(?claim, "it is not recorded yet that a notification was handed over");
            }
        }
        if Instant::now() + pause >= until {
            log::error!(?claim, "it could not be recorded that a notification was handed over");
            return false;
        }
        sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}
