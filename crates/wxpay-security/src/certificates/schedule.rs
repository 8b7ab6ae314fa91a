//! Which merchant is due when.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::certificates::due::{after_failure, after_success, probe};
use crate::certificates::platform_certificates::Inner;

/// When a merchant is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    Never,
    /// To ask whether there are certificates again.
    Probe,
    /// After a download whose certificates are of use for this long.
    AfterSuccess(Duration),
    /// After this many failures.
    AfterFailure(u32),
}

/// The merchants by the time at which they are due.
pub(super) struct Schedule {
    interval: Duration,
    entries: Mutex<Entries>,
    /// Wakes the task after a change.
    changed: Notify,
}

#[derive(Default)]
struct Entries {
    merchants: HashMap<u64, Entry>,
    by_time: BTreeSet<(Instant, u64)>,
    last_number: u64,
}

struct Entry {
    inner: Weak<Inner>,
    due: Option<Instant>,
}

impl Schedule {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, entries: Mutex::default(), changed: Notify::new() }
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Returns the number of merchants.
    pub(super) fn merchants(&self) -> usize {
        self.entries().merchants.len()
    }

    #[cfg(test)]
    pub(super) fn is_anyone_due(&self) -> bool {
        !self.entries().by_time.is_empty()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, inner: &Arc<Inner>) -> u64 {
        let mut entries = self.entries();
        entries.last_number += 1;
        let number = entries.last_number;
        entries.merchants.insert(number, Entry { inner: Arc::downgrade(inner), due: None });
        number
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.entries().merchants.contains_key(&number)
    }

    /// Forgets a merchant.
    pub(super) fn remove(&self, number: u64) {
        let mut entries = self.entries();
        entries.set(number, None);
        entries.merchants.remove(&number);
    }

    /// Sets when a merchant is due; one that is not known is ignored.
    pub(super) fn set(&self, number: u64, due: Due) {
        let wait = match due {
            Due::Never => None,
            Due::Now => Some(Duration::ZERO),
            Due::Probe => Some(probe(self.interval, fastrand::f64())),
            Due::AfterSuccess(covered) => {
                Some(after_success(self.interval, covered, fastrand::f64()))
            }
            Due::AfterFailure(failures) => {
                Some(after_failure(self.interval, failures, fastrand::f64()))
            }
        };
        self.entries().set(number, wait.map(|wait| Instant::now() + wait));
        self.changed.notify_one();
    }

    /// Begins the downloads that are due, one after the other, as there are permits.
    pub(super) async fn run(&self, permits: Arc<Semaphore>) {
        loop {
            let changed = self.changed.notified();
            let next = self.entries().by_time.first().map(|(at, _)| *at);
            let is_due = match next {
                None => {
                    changed.await;
                    false
                }
                Some(at) => timeout_at(at, changed).await.is_err(),
            };
            if !is_due {
                continue;
            }
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            if let Some(inner) = self.take_due(Instant::now()) {
                inner.begin(permit);
            }
        }
    }

    /// Takes the first merchant that is due.
    fn take_due(&self, now: Instant) -> Option<Arc<Inner>> {
        let mut entries = self.entries();
        loop {
            let (at, number) = entries.by_time.first().copied()?;
            if at > now {
                return None;
            }
            entries.set(number, None);
            // One that is being dropped removes itself.
            if let Some(inner) =
                entries.merchants.get(&number).and_then(|entry| entry.inner.upgrade())
            {
                return Some(inner);
            }
        }
    }
}

impl Entries {
    fn set(&mut self, number: u64, due: Option<Instant>) {
        let Some(entry) = self.merchants.get_mut(&number) else { return };
        if let Some(before) = std::mem::replace(&mut entry.due, due) {
            self.by_time.remove(&(before, number));
        }
        if let Some(due) = due {
            self.by_time.insert((due, number));
        }
    }
}
