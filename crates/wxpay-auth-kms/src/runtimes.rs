//! The Tokio runtimes that use a signer; one may sleep while another waits for it.
//!
//! A runtime that nobody drives (a `current_thread` one between two calls of `block_on`) neither
//! reads from its connections nor runs its tasks.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, Id};

/// How long to wait for something on another runtime before doing it on this one.
#[cfg(feature = "_http")]
pub(crate) const FOREIGN_PATIENCE: Duration = Duration::from_secs(1);

/// Returns the runtime of the caller.
pub(crate) fn current_runtime() -> Option<Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

/// Keeps one value per runtime: connections belong to the runtime that opened them.
pub(crate) struct PerRuntime<T> {
    kept: Mutex<Vec<Kept<T>>>,
    unused_for: Duration,
}

struct Kept<T> {
    runtime: Option<Id>,
    used: Instant,
    thing: T,
}

/// How many runtimes are kept; the least recently used one is dropped first.
const MOST: usize = 128;

impl<T: Clone> PerRuntime<T> {
    /// Creates one that drops the value of a runtime after this time without use.
    pub(crate) fn new(unused_for: Duration) -> Self {
        Self { kept: Mutex::default(), unused_for }
    }

    /// Returns the value of the current runtime, which is created if there is none.
    pub(crate) fn here(&self, make: impl FnOnce() -> T) -> T {
        let (here, now) = (current_runtime(), Instant::now());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.iter_mut().find(|kept| kept.runtime == here) {
            kept.used = now;
            return kept.thing.clone();
        }
        let thing = make();
        let mut forgotten: Vec<_> =
            kept.extract_if(.., |kept| now.duration_since(kept.used) >= self.unused_for).collect();
        if kept.len() >= MOST
            && let Some(oldest) = (0..kept.len()).min_by_key(|n| kept.get(*n).map(|kept| kept.used))
        {
            forgotten.push(kept.swap_remove(oldest));
        }
        kept.push(Kept { runtime: here, used: now, thing: thing.clone() });
        drop(kept);
        // Drop outside the lock: this closes connections.
        drop(forgotten);
        thing
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn each_runtime_has_one_of_its_own() {
        let things = PerRuntime::new(Duration::from_secs(60));
        let made = AtomicUsize::new(0);
        let here = || things.here(|| made.fetch_add(1, Ordering::Relaxed));
        let (one, other) = (runtime(), runtime());
        for _ in 0..2 {
            assert_eq!(one.block_on(async { here() }), 0);
            assert_eq!(other.block_on(async { here() }), 1);
            assert_eq!(here(), 2, "outside of all runtimes");
        }
    }

    #[test]
    fn what_is_not_used_is_dropped_and_there_are_never_too_many() {
        let thing = Arc::new(());
        for (unused_for, left) in [(Duration::ZERO, 1), (Duration::from_secs(3600), MOST)] {
            let things = PerRuntime::new(unused_for);
            for _ in 0..=MOST {
                runtime().block_on(async { things.here(|| Arc::clone(&thing)) });
            }
            assert_eq!(Arc::strong_count(&thing), left + 1);
        }
    }
}
