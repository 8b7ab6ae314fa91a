//! One download at a time, for all who wait for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout};

use crate::certificates::error::CertificateError;
use crate::certificates::list::CertificateList;
use crate::certificates::platform_certificates::Inner;

/// The result of a download, shared by all who waited for it.
pub(super) type Outcome = Result<Arc<CertificateList>, Arc<CertificateError>>;

/// Waits for the result.
pub(super) type Waiting = watch::Receiver<Option<Outcome>>;

/// How long a download may take. After that another one may begin, even if the runtime of this one sleeps.
const LONGEST: Duration = Duration::from_secs(120);

/// The download in progress, if there is one.
#[derive(Default)]
pub(super) struct Flight(Mutex<Slot>);

#[derive(Default)]
struct Slot {
    last_number: u64,
    running: Option<Running>,
}

struct Running {
    number: u64,
    began: Instant,
    waiting: Waiting,
}

impl Flight {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether no other download has taken the place of this one.
    pub(super) fn is_current(&self, number: u64) -> bool {
        self.slot().running.as_ref().is_some_and(|running| running.number == number)
    }

    /// Forgets a download. Returns whether no other one had taken its place.
    fn end(&self, number: u64) -> bool {
        self.slot().running.take_if(|running| running.number == number).is_some()
    }
}

/// Joins the download in progress, or begins one if `may_begin` says so.
///
/// A download runs in a task of its own, so that it completes also if all who wait for it give up. Without a runtime
/// there is none.
pub(super) fn begin(
    inner: &Arc<Inner>,
    permit: Option<OwnedSemaphorePermit>,
    may_begin: impl FnOnce() -> bool,
) -> Option<Waiting> {
    let runtime = Handle::try_current().ok()?;
    let mut slot = inner.flight.slot();
    if let Some(current) = slot.running.as_ref().filter(|running| running.began.elapsed() < LONGEST)
    {
        return Some(current.waiting.clone());
    }
    // With the lock held: who is refused must see the download of who is not.
    if !may_begin() {
        return None;
    }
    let (sender, waiting) = watch::channel(None);
    slot.last_number += 1;
    let number = slot.last_number;
    slot.running = Some(Running { number, began: Instant::now(), waiting: waiting.clone() });
    drop(slot);
    inner.begun();
    let landing =
        Landing { inner: Arc::clone(inner), number, sender, outcome: None, _permit: permit };
    runtime.spawn(async move {
        let outcome = timeout(LONGEST, landing.inner.download_into_ring(number)).await;
        landing.with(outcome.ok());
    });
    Some(waiting)
}

/// Waits for the result of a download.
pub(super) async fn outcome(mut waiting: Waiting) -> Outcome {
    let outcome = waiting.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
    outcome.ok().flatten().unwrap_or_else(interrupted)
}

/// Ends a download however it ends, also if its task is dropped or panics.
struct Landing {
    inner: Arc<Inner>,
    number: u64,
    sender: watch::Sender<Option<Outcome>>,
    outcome: Option<Outcome>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Landing {
    /// Ends it with this result; `None` if it took too long.
    fn with(mut self, outcome: Option<Outcome>) {
        self.outcome = outcome;
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(interrupted);
        // One that comes late, from a runtime that slept, changes nothing.
        if self.inner.flight.end(self.number) {
            self.inner.landed(&outcome);
        }
        self.sender.send_replace(Some(outcome));
    }
}

fn interrupted() -> Outcome {
    Err(Arc::new(CertificateError::Interrupted))
}
