//! Keeps calls into a module apart from its restart, and from logins.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long one waits for another: a restart or a login for calls that are under way, say. One that
/// hangs must not hang the rest.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Lets calls into a module by, but not while it is being restarted or somebody logs in, and counts
/// its restarts: what was opened before one is gone after it.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

/// How a restart has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Restart {
    Done,
    /// Half-way: the sessions are gone, and the module is not there.
    Failed,
    /// Before it began: the sessions live on.
    Refused,
}

#[derive(Debug, Default)]
struct State {
    inside: usize,
    closed: bool,
    generation: u64,
}

impl Gate {
    /// Waits until no restart and no login is under way, and keeps the next one off until the guard is
    /// dropped.
    pub(super) fn enter(&self) -> Inside<'_> {
        let mut state = self.lock_open();
        state.inside += 1;
        Inside { generation: state.generation, gate: self }
    }

    /// Runs `restart` while nobody is inside. Returns whether things are now new since `generation`:
    /// they also are when somebody else has restarted the module since.
    pub(super) fn restart(&self, generation: u64, restart: impl FnOnce() -> Restart) -> bool {
        let Some(closed) = self.close(generation) else { return true };
        if closed.inside > 0 {
            return false;
        }
        let restarted = restart();
        if restarted != Restart::Refused {
            self.lock().generation += 1;
        }
        restarted == Restart::Done
    }

    /// Runs `change` while nobody is inside, or hangs there for longer than it waits. `None` when
    /// the module was restarted since `generation`.
    pub(super) fn alone<T>(&self, generation: u64, change: impl FnOnce() -> T) -> Option<T> {
        let _closed = self.close(generation)?;
        Some(change())
    }

    /// Keeps everybody out, and waits for those who are inside.
    fn close(&self, generation: u64) -> Option<Closed<'_>> {
        let mut state = self.lock_open();
        if state.generation != generation {
            return None;
        }
        state.closed = true;
        let (state, _) = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| state.inside > 0)
            .unwrap_or_else(PoisonError::into_inner);
        Some(Closed { inside: state.inside, gate: self })
    }

    /// Returns how often the module was restarted.
    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Waits until it is open.
    fn lock_open(&self) -> MutexGuard<'_, State> {
        let open = self.changed.wait_while(self.lock(), |state| state.closed);
        open.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps restarts off while it lives.
#[derive(Debug)]
pub(super) struct Inside<'a> {
    generation: u64,
    gate: &'a Gate,
}

impl Inside<'_> {
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.inside -= 1;
        if state.closed && state.inside == 0 {
            self.gate.changed.notify_all();
        }
    }
}

/// Keeps everybody out while it lives.
struct Closed<'a> {
    /// How many hang inside.
    inside: usize,
    gate: &'a Gate,
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.gate.lock().closed = false;
        self.gate.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn nobody_is_inside_during_a_restart_and_each_generation_is_restarted_once() {
        let gate = Arc::new(Gate::default());
        let (inside, restarts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
                let restarts = Arc::clone(&restarts);
                thread::spawn(move || {
                    for round in 0..200 {
                        let entered = gate.enter();
                        let generation = entered.generation();
                        inside.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(entered);
                        if round % 20 == 0 {
                            assert!(gate.restart(generation, || {
                                assert_eq!(inside.load(Ordering::SeqCst), 0);
                                restarts.fetch_add(1, Ordering::SeqCst);
                                Restart::Done
                            }));
                            assert!(gate.generation() > generation);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(gate.generation(), restarts.load(Ordering::SeqCst) as u64);
    }

    #[test]
    fn a_restart_waits_for_calls_that_return() {
        let gate = Arc::new(Gate::default());
        let inside = gate.enter();
        let restarting = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.restart(0, || Restart::Done))
        };
        while !gate.lock().closed {
            thread::yield_now();
        }
        drop(inside);
        assert!(restarting.join().unwrap());
        assert_eq!(gate.enter().generation(), 1);
    }

    #[test]
    fn a_call_that_hangs_stops_a_restart_but_nobody_else() {
        let gate = Gate::default();
        let hanging = gate.enter();
        assert!(!gate.restart(0, || panic!("a call is under way")));
        // A login may go beside it.
        assert_eq!(gate.alone(0, || 7), Some(7));
        assert_eq!(gate.enter().generation(), 0);
        drop(hanging);
        assert!(gate.restart(0, || Restart::Done));
        assert_eq!(gate.generation(), 1);
        assert_eq!(gate.alone(1, || 7), Some(7));
        assert_eq!(gate.alone(0, || 7), None);
        // Somebody who saw the old state only hears that it is over.
        assert!(gate.restart(0, || panic!("it was restarted already")));
    }

    #[test]
    fn sessions_that_live_on_are_not_of_the_past() {
        let gate = Gate::default();
        assert!(!gate.restart(0, || Restart::Refused));
        assert_eq!(gate.generation(), 0);
        assert!(!gate.restart(0, || Restart::Failed));
        assert_eq!(gate.generation(), 1);
    }
}
