//! Serializes the opening and closing of sessions.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::module::access::PATIENCE;

/// Admits one thread at a time.
///
/// Closing the last session ends the login and frees the private objects. In the module of
/// opencryptoki, two threads that close the last two sessions at once both consider theirs the
/// last, and both free the objects.
#[derive(Debug, Default)]
pub(crate) struct OpenCloseLock {
    taken: Mutex<bool>,
    given_back: Condvar,
}

impl OpenCloseLock {
    /// Waits for the lock, which is released when the guard is dropped. If its holder hangs,
    /// returns without the lock after a time limit.
    pub(crate) fn take(&self) -> HeldLock<'_> {
        self.take_within(PATIENCE)
    }

    fn take_within(&self, patience: Duration) -> HeldLock<'_> {
        let (mut taken, _) = self
            .given_back
            .wait_timeout_while(self.lock(), patience, |taken| *taken)
            .unwrap_or_else(PoisonError::into_inner);
        let mine = !std::mem::replace(&mut *taken, true);
        HeldLock { lock: mine.then_some(self) }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds the lock until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct HeldLock<'a> {
    /// `None` if the holder of the lock hangs.
    lock: Option<&'a OpenCloseLock>,
}

impl Drop for HeldLock<'_> {
    fn drop(&mut self) {
        if let Some(lock) = self.lock {
            *lock.lock() = false;
            lock.given_back.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn one_at_a_time() {
        let (lock, inside) = (OpenCloseLock::default(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _held = lock.take_within(Duration::from_secs(60));
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }

    #[test]
    fn one_that_hangs_holds_up_nobody_for_long() {
        let lock = OpenCloseLock::default();
        let hanging = lock.take();
        let beside = lock.take_within(Duration::from_millis(1));
        assert!(beside.lock.is_none());
        // A guard without the lock does not release it.
        drop(beside);
        assert!(lock.take_within(Duration::from_millis(1)).lock.is_none());
        drop(hanging);
        assert!(lock.take_within(Duration::from_secs(60)).lock.is_some());
    }
}
