//! Whether a runtime has polled its timers and sockets since a signature was computed on its thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// Minimum pause between two inline signatures on a runtime with several workers. It is longer than a worker
/// takes from one ready task to the next, and shorter than any round trip of a single caller.
const PAUSE: Duration = Duration::from_micros(40);

/// Remembers the last inline signature.
pub(super) struct Rest {
    start: Instant,
    /// When it ended, in nanoseconds since `start`; 0 before the first.
    last_end: AtomicU64,
}

impl Rest {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), last_end: AtomicU64::new(0) }
    }

    /// Returns whether a signature may be computed inline, for a caller that signs `alone` or beside others.
    /// Outside of a runtime, nothing can starve.
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

    /// Pretends that the last one ended at this time.
    #[cfg(test)]
    pub(super) fn set_last_end(&self, nanos: u64) {
        self.last_end.store(nanos, Ordering::Relaxed);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A runtime with a single worker polls its timers and sockets when no task is ready, or after 61 tasks: the
/// time that tasks take between two signatures is a pause, but does not mean that it polled. Only if the
/// worker has slept since, everything was polled.
#[cfg(target_has_atomic = "64")]
mod lone_worker {
    use std::cell::Cell;

    use tokio::runtime::Handle;

    thread_local! {
        /// How often the worker of this thread had slept when the last signature was computed on it.
        static SLEPT: Cell<Option<u64>> = const { Cell::new(None) };
    }

    pub(super) fn has_slept(runtime: &Handle) -> bool {
        match (count(runtime), SLEPT.get()) {
            // Another runtime may have used this thread before: then nothing is known, and the numbers are
            // equal only by chance, which costs one move to another thread.
            (Some(now), Some(then)) => now != then,
            _ => true,
        }
    }

    pub(super) fn remember(runtime: &Handle) {
        if let Some(count) = count(runtime) {
            SLEPT.set(Some(count));
        }
    }

    /// Returns `None` if there are several workers.
    fn count(runtime: &Handle) -> Option<u64> {
        let metrics = runtime.metrics();
        (metrics.num_workers() == 1).then(|| metrics.worker_park_count(0))
    }
}

/// Tokio has no counter there, so nothing is computed inline.
#[cfg(not(target_has_atomic = "64"))]
mod lone_worker {
    use tokio::runtime::Handle;

    pub(super) fn has_slept(runtime: &Handle) -> bool {
        runtime.metrics().num_workers() > 1
    }

    pub(super) fn remember(_: &Handle) {}
}
