//! Downloads the platform certificates of all merchants of a process in time.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::certificates::due::{after_failure, after_success};
use crate::certificates::platform_certificates::{Inner, PlatformCertificates};

/// Downloads the platform certificates of any number of merchants in time. One is enough for a process; it has one
/// task, and ends when it is dropped.
///
/// Each merchant is due somewhat before the interval has passed, sooner as the end of its last certificate comes
/// nearer, and after a failure at first a minute later, then less and less often. Only some downloads run at a time.
/// A merchant in [public-key mode](crate::CertificateError::NoMore), or whose downloads are
/// [paused](PlatformCertificates::pause), is never due. One that nobody holds any more is forgotten: the scheduler keeps none
/// alive.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012715700>
///
/// ```
/// # #[tokio::main]
/// # async fn main() {
/// use std::time::Duration;
/// use wxpay_security::CertificateScheduler;
///
/// let scheduler = CertificateScheduler::builder().max_downloads(2).start();
/// // … scheduler.add(&certificates) for each merchant
/// # let _ = scheduler;
/// # }
/// ```
pub struct CertificateScheduler {
    schedule: Arc<Schedule>,
    task: JoinHandle<()>,
}

impl CertificateScheduler {
    /// Starts it on the current Tokio runtime, with an interval of 12 hours and at most four downloads at a time.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Returns a builder, to set the interval and how many downloads run at a time.
    pub fn builder() -> CertificateSchedulerBuilder {
        CertificateSchedulerBuilder::default()
    }

    /// Keeps the certificates of a merchant up to date from now on. If they were never downloaded, they are at once.
    ///
    /// A merchant has one scheduler: a second one takes the place of the first one.
    pub fn add(&self, certificates: &PlatformCertificates) {
        let inner = &certificates.inner;
        let weak = Arc::downgrade(&self.schedule);
        let known = inner.number_in(&weak).filter(|number| self.schedule.has(*number));
        let number = known.unwrap_or_else(|| self.schedule.add(inner));
        let due = inner.set_schedule(weak, number);
        self.schedule.set(number, due);
    }

    /// Downloads the certificates of a merchant no more.
    pub fn remove(&self, certificates: &PlatformCertificates) {
        let weak = Arc::downgrade(&self.schedule);
        if let Some(number) = certificates.inner.number_in(&weak) {
            self.schedule.remove(number);
        }
    }

    /// Returns the number of merchants that were added, and neither removed nor dropped.
    pub fn merchants(&self) -> usize {
        self.schedule.entries().merchants.len()
    }
}

impl Drop for CertificateScheduler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for CertificateScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateScheduler")
            .field("interval", &self.schedule.interval)
            .field("merchants", &self.merchants())
            .finish_non_exhaustive()
    }
}

/// Sets up a [`CertificateScheduler`].
#[derive(Debug, Clone)]
pub struct CertificateSchedulerBuilder {
    interval: Duration,
    max_downloads: usize,
}

impl Default for CertificateSchedulerBuilder {
    fn default() -> Self {
        Self { interval: Duration::from_secs(12 * 3600), max_downloads: 4 }
    }
}

impl CertificateSchedulerBuilder {
    /// Sets the longest time between two downloads of a merchant. WeChat Pay asks for less than 12 hours, the default;
    /// a longer one is reduced to that.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.min(Self::default().interval);
        self
    }

    /// Sets how many downloads run at a time: 4 by default, and at least one.
    #[must_use]
    pub fn max_downloads(mut self, downloads: usize) -> Self {
        self.max_downloads = downloads.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Starts the scheduler on the current Tokio runtime.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(self) -> CertificateScheduler {
        let schedule = Arc::new(Schedule {
            interval: self.interval,
            entries: Mutex::default(),
            changed: Notify::new(),
        });
        let running = Arc::clone(&schedule);
        let permits = Arc::new(Semaphore::new(self.max_downloads));
        let task = tokio::spawn(async move { running.run(permits).await });
        CertificateScheduler { schedule, task }
    }
}

/// When a merchant is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    Never,
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
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, inner: &Arc<Inner>) -> u64 {
        let mut entries = self.entries();
        entries.last_number += 1;
        let number = entries.last_number;
        entries.merchants.insert(number, Entry { inner: Arc::downgrade(inner), due: None });
        number
    }

    fn has(&self, number: u64) -> bool {
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

    async fn run(&self, permits: Arc<Semaphore>) {
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
