//! Sessions are opened and closed one after the other.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::module::access::PATIENCE;

/// Lets one at a time.
///
/// With the last session goes the login, and with that the private objects. There is a module (that of
/// opencryptoki) in which two threads that close the last two sessions at once both take theirs for
/// the last, and both free the objects.
#[derive(Debug, Default)]
pub(crate) struct OpenCloseLock {
    taken: Mutex<bool>,
    given_back: Condvar,
}

impl OpenCloseLock {
    /// Waits for a turn, which ends when the guard is dropped; or until whoever has it hangs, and goes
    /// on beside.
    pub(crate) fn take(&self) -> Turn<'_> {
        self.take_within(PATIENCE)
    }

    fn take_within(&self, patience: Duration) -> Turn<'_> {
        let (mut taken, _) = self
            .given_back
            .wait_timeout_while(self.lock(), patience, |taken| *taken)
            .unwrap_or_else(PoisonError::into_inner);
        let mine = !std::mem::replace(&mut *taken, true);
        Turn { turns: mine.then_some(self) }
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the others waiting while it lives.
#[derive(Debug)]
#[must_use]
pub(crate) struct Turn<'a> {
    /// `None` beside one that hangs.
    turns: Option<&'a OpenCloseLock>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(turns) = self.turns {
            *turns.lock() = false;
            turns.given_back.notify_one();
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
        let (turns, inside) = (OpenCloseLock::default(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _turn = turns.take_within(Duration::from_secs(60));
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
        let turns = OpenCloseLock::default();
        let hanging = turns.take();
        let beside = turns.take_within(Duration::from_millis(1));
        assert!(beside.turns.is_none());
        // Who went on beside it does not end its turn.
        drop(beside);
        assert!(turns.take_within(Duration::from_millis(1)).turns.is_none());
        drop(hanging);
        assert!(turns.take_within(Duration::from_secs(60)).turns.is_some());
    }
}
