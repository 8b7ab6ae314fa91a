//! Whether a runtime has come to its timers and sockets since a signature was computed on its thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// The shortest pause after a signature on the spot before the next one may be, where a runtime has several
/// workers. It is longer than a worker takes from one runnable task to the next, and shorter than any round
/// trip of a lone caller.
const PAUSE: Duration = Duration::from_micros(40);

/// Remembers the last signature on the spot.
pub(super) struct Rest {
    start: Instant,
    /// When it ended, in nanoseconds since `start`; 0 before the first.
    last_end: AtomicU64,
}

impl Rest {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), last_end: AtomicU64::new(0) }
    }

    /// Decides whether a signature may be on the spot, for one who signs `alone` or beside others.
    /// Where no runtime is, none can starve.
    pub(super) fn runtime_has_rested(&self, alone: bool) -> bool {
        let Ok(runtime) = Handle::try_current() else { return true };
        alone && self.has_paused() && lone_worker::has_slept(&runtime)
    }

    pub(super) fn signed_on_the_spot(&self) {
        self.last_end.store(self.elapsed_nanos().max(1), Ordering::Relaxed);
        if let Ok(runtime) = Handle::try_current() {
            lone_worker::remember(&runtime);
        }
    }

    fn has_paused(&self) -> bool {
        let last_end = self.last_end.load(Ordering::Relaxed);
        last_end == 0 || self.elapsed_nanos().saturating_sub(last_end) >= nanos(PAUSE)
    }

    fn elapsed_nanos(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    /// As if the last one ended then.
    #[cfg(test)]
    pub(super) fn set_last_end(&self, nanos: u64) {
        self.last_end.store(nanos, Ordering::Relaxed);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A runtime that has one worker looks at its timers and sockets when no task is left to run, or after 61
/// of them: what these do between two signatures is a pause, and still nobody looks. Only when the worker
/// has slept since, all was looked at.
#[cfg(target_has_atomic = "64")]
mod lone_worker {
    use std::cell::Cell;

    use tokio::runtime::Handle;

    thread_local! {
        /// How often the worker on this thread had slept when a signature was computed on it.
        static SLEPT: Cell<Option<u64>> = const { Cell::new(None) };
    }

    pub(super) fn has_slept(runtime: &Handle) -> bool {
        match (count(runtime), SLEPT.get()) {
            // Another runtime was on this thread before, perhaps: then nothing is known, and it is not equal
            // but by chance, which costs one move.
            (Some(now), Some(then)) => now != then,
            _ => true,
        }
    }

    pub(super) fn remember(runtime: &Handle) {
        if let Some(count) = count(runtime) {
            SLEPT.set(Some(count));
        }
    }

    /// `None` where there are several workers.
    fn count(runtime: &Handle) -> Option<u64> {
        let metrics = runtime.metrics();
        (metrics.num_workers() == 1).then(|| metrics.worker_park_count(0))
    }
}

/// Tokio does not count there, so nothing is computed on the spot.
#[cfg(not(target_has_atomic = "64"))]
mod lone_worker {
    use tokio::runtime::Handle;

    pub(super) fn has_slept(runtime: &Handle) -> bool {
        runtime.metrics().num_workers() > 1
    }

    pub(super) fn remember(_: &Handle) {}
}
