//! Coordinates calls into a module with its restarts and with logins to its tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cryptoki::slot::Slot;
use wxpay_auth_core::internal::log;

use crate::error::Pkcs11Error;

/// How long to wait for calls in progress before a restart or a login. A call that hangs must not
/// block everything else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// How long a call waits for a login or a restart, which may take a while.
const LONG_PATIENCE: Duration = Duration::from_secs(10);

/// Admits calls into a module, except during a restart of the module or a login to their token.
/// Counts the restarts: a restart ends all sessions opened before it.
#[derive(Debug)]
pub(crate) struct ModuleAccess {
    state: Mutex<State>,
    changed: Condvar,
    patience: Duration,
    /// Whether calls are serialized: see [`one_at_a_time`](Self::one_at_a_time).
    one_at_a_time: bool,
}

/// What a call uses, or what is blocked: the whole module or one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Module,
    Token(Slot),
}

/// The result of a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restart {
    Done,
    /// It failed after `C_Finalize`: the sessions are gone, and the module is not initialised.
    Failed,
    /// It was refused before it began: the sessions are still valid.
    Refused,
}

#[derive(Debug, Default)]
struct State {
    /// The number of calls in progress per slot; `None` for calls that belong to no token.
    inside: BTreeMap<Option<u64>, usize>,
    module_is_closed: bool,
    closed_tokens: BTreeSet<u64>,
    generation: u64,
    /// How many hanging calls prevented the last restart.
    hung: usize,
}

impl Scope {
    fn slot(self) -> Option<u64> {
        match self {
            Self::Module => None,
            Self::Token(slot) => Some(slot.id()),
        }
    }
}

impl State {
    /// Whether a call must wait. A call that belongs to no token waits only for the module.
    fn keeps_out(&self, scope: Scope) -> bool {
        self.module_is_closed || scope.slot().is_some_and(|slot| self.closed_tokens.contains(&slot))
    }

    /// Whether another thread has blocked this scope or a part of it.
    fn is_closed(&self, scope: Scope) -> bool {
        self.keeps_out(scope) || (scope == Scope::Module && !self.closed_tokens.is_empty())
    }

    fn inside(&self, scope: Scope) -> usize {
        match scope {
            Scope::Module => self.inside.values().sum(),
            Scope::Token(slot) => self.inside.get(&Some(slot.id())).copied().unwrap_or(0),
        }
    }

    fn close(&mut self, scope: Scope, closed: bool) {
        match scope {
            Scope::Module => self.module_is_closed = closed,
            Scope::Token(slot) if closed => drop(self.closed_tokens.insert(slot.id())),
            Scope::Token(slot) => drop(self.closed_tokens.remove(&slot.id())),
        }
    }
}

impl Default for ModuleAccess {
    fn default() -> Self {
        Self::new(LONG_PATIENCE)
    }
}

impl ModuleAccess {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), patience, one_at_a_time: false }
    }

    /// Serializes all calls, for a module that does not support concurrent ones.
    pub(crate) fn one_at_a_time(self) -> Self {
        Self { one_at_a_time: true, ..self }
    }

    /// Waits until no restart or login blocks the scope, and, if calls are serialized, no other
    /// call runs; delays the next one until the guard is dropped.
    ///
    /// # Errors
    /// [`Pkcs11Error::HeldUp`] if that takes too long.
    pub(crate) fn enter(&self, scope: Scope) -> Result<Inside<'_>, Pkcs11Error> {
        let is_free = |state: &State| !self.one_at_a_time || state.inside(Scope::Module) == 0;
        let may_enter = |state: &State| !state.keeps_out(scope) && is_free(state);
        let mut state = self.lock_when(self.patience, may_enter)?;
        let slot = scope.slot();
        *state.inside.entry(slot).or_default() += 1;
        Ok(Inside { generation: state.generation, slot, access: self })
    }

    /// Runs `restart` while no call is in progress. Returns whether the module has been restarted
    /// since `generation`, by this thread or another. If it panics, the sessions count as ended.
    pub(crate) fn restart(&self, generation: u64, restart: impl FnOnce() -> Restart) -> bool {
        let closed = match self.close(Scope::Module, generation, PATIENCE) {
            Ok(closed) => closed,
            Err(error) => return matches!(error, Pkcs11Error::Restarted),
        };
        self.lock().hung = closed.inside;
        if closed.inside > 0 {
            let calls = closed.inside;
            drop(closed);
            log::error!(calls, "the PKCS#11 module cannot be restarted: calls into it hang");
            return false;
        }
        // Dropped before `closed`: a call that enters afterwards knows of the restart.
        let mut ending = EndOfSessions { access: self, sessions_live_on: false };
        let restarted = restart();
        ending.sessions_live_on = restarted == Restart::Refused;
        restarted == Restart::Done
    }

    /// Runs `change` while no other call is in progress in the scope, except calls that hang.
    ///
    /// # Errors
    /// [`Pkcs11Error::Restarted`] if the module was restarted since `generation`, and
    /// [`Pkcs11Error::HeldUp`] if another thread blocks the scope for too long, or if calls are
    /// serialized and one hangs.
    pub(crate) fn alone<T>(
        &self,
        scope: Scope,
        generation: u64,
        change: impl FnOnce() -> T,
    ) -> Result<T, Pkcs11Error> {
        let closed = self.close(scope, generation, self.patience)?;
        if self.one_at_a_time && closed.inside > 0 {
            return Err(Pkcs11Error::HeldUp { waited: PATIENCE });
        }
        Ok(change())
    }

    /// Blocks new calls, and waits for those in progress.
    fn close(
        &self,
        scope: Scope,
        generation: u64,
        patience: Duration,
    ) -> Result<Closed<'_>, Pkcs11Error> {
        let mut state = self.lock_when(patience, |state| {
            state.generation != generation || !state.is_closed(scope)
        })?;
        if state.generation != generation {
            return Err(Pkcs11Error::Restarted);
        }
        state.close(scope, true);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| state.inside(scope) > 0)
            .unwrap_or_else(PoisonError::into_inner);
        Ok(Closed { inside: state.inside(scope), scope, access: self })
    }

    /// Returns how many hanging calls prevented the last restart.
    pub(crate) fn hung(&self) -> usize {
        self.lock().hung
    }

    /// Returns how often the module was restarted.
    pub(crate) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Waits until a condition holds, up to a time limit.
    fn lock_when(
        &self,
        patience: Duration,
        is_so: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'_, State>, Pkcs11Error> {
        let (state, waited) = self
            .changed
            .wait_timeout_while(self.lock(), patience, |state| !is_so(state))
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() && !is_so(&state) {
            return Err(Pkcs11Error::HeldUp { waited: patience });
        }
        Ok(state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Delays restarts until it is dropped.
#[derive(Debug)]
pub(crate) struct Inside<'a> {
    generation: u64,
    slot: Option<u64>,
    access: &'a ModuleAccess,
}

impl Inside<'_> {
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut state = self.access.lock();
        if let Some(inside) = state.inside.get_mut(&self.slot) {
            *inside -= 1;
            if *inside == 0 && (self.access.one_at_a_time || state.is_closed(Scope::Module)) {
                self.access.changed.notify_all();
            }
        }
        // A call that has returned does not hang.
        state.hung = state.hung.min(state.inside(Scope::Module));
    }
}

/// Blocks new calls until it is dropped.
struct Closed<'a> {
    /// How many calls hang.
    inside: usize,
    scope: Scope,
    access: &'a ModuleAccess,
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.access.lock().close(self.scope, false);
        self.access.changed.notify_all();
    }
}

/// Begins the next generation when it is dropped, unless the sessions are still valid.
struct EndOfSessions<'a> {
    access: &'a ModuleAccess,
    sessions_live_on: bool,
}

impl Drop for EndOfSessions<'_> {
    fn drop(&mut self) {
        if !self.sessions_live_on {
            self.access.lock().generation += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use wxpay_auth_core::internal::panics::caught;

    use super::*;
    use crate::panicking::with_events;

    #[test]
    fn nobody_is_inside_during_a_restart_and_each_generation_is_restarted_once() {
        let access = Arc::new(ModuleAccess::default());
        let (inside, restarts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (access, inside) = (Arc::clone(&access), Arc::clone(&inside));
                let restarts = Arc::clone(&restarts);
                thread::spawn(move || {
                    for round in 0..200 {
                        let entered = access.enter(Scope::Module).unwrap();
                        let generation = entered.generation();
                        inside.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(entered);
                        if round % 20 == 0 {
                            assert!(access.restart(generation, || {
                                assert_eq!(inside.load(Ordering::SeqCst), 0);
                                restarts.fetch_add(1, Ordering::SeqCst);
                                Restart::Done
                            }));
                            assert!(access.generation() > generation);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(access.generation(), restarts.load(Ordering::SeqCst) as u64);
    }

    #[test]
    fn a_restart_waits_for_calls_that_return() {
        let access = Arc::new(ModuleAccess::default());
        let inside = access.enter(Scope::Module).unwrap();
        let restarting = {
            let access = Arc::clone(&access);
            thread::spawn(move || access.restart(0, || Restart::Done))
        };
        while !access.lock().module_is_closed {
            thread::yield_now();
        }
        drop(inside);
        assert!(restarting.join().unwrap());
        assert_eq!(access.enter(Scope::Module).unwrap().generation(), 1);
    }

    #[test]
    fn a_call_that_hangs_stops_a_restart_but_nobody_else() {
        let access = ModuleAccess::default();
        let hanging = access.enter(Scope::Module).unwrap();
        assert_eq!(access.hung(), 0);
        assert!(!access.restart(0, || panic!("a call is under way")));
        assert_eq!(access.hung(), 1);
        // A login is allowed meanwhile.
        assert_eq!(access.alone(Scope::Module, 0, || 7).unwrap(), 7);
        assert_eq!(access.enter(Scope::Module).unwrap().generation(), 0);
        drop(hanging);
        assert_eq!(access.hung(), 0, "it has come back");
        assert!(access.restart(0, || Restart::Done));
        assert_eq!((access.generation(), access.hung()), (1, 0));
        assert_eq!(access.alone(Scope::Module, 1, || 7).unwrap(), 7);
        let gone = access.alone(Scope::Module, 0, || 7);
        assert!(matches!(gone, Err(Pkcs11Error::Restarted)));
        // A thread that saw the old state only learns of the restart.
        assert!(access.restart(0, || panic!("it was restarted already")));
    }

    #[test]
    fn sessions_that_live_on_are_not_of_the_past() {
        let access = ModuleAccess::default();
        assert!(!access.restart(0, || Restart::Refused));
        assert_eq!(access.generation(), 0);
        assert!(!access.restart(0, || Restart::Failed));
        assert_eq!(access.generation(), 1);
    }

    #[test]
    fn after_a_panic_during_a_restart_the_sessions_are_of_the_past() {
        let access = ModuleAccess::default();
        assert_eq!(caught(|| access.restart(0, || panic!("told to"))), None);
        let entered = access.enter(Scope::Module).unwrap();
        assert_eq!(entered.generation(), 1);
    }

    /// The subscriber may block: nothing else waits for it.
    #[test]
    fn calls_that_hang_are_logged_while_others_may_enter() {
        let access = Arc::new(ModuleAccess::default());
        let hanging = access.enter(Scope::Module).unwrap();
        let (may_enter, watched) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&access));
        let count = Arc::clone(&may_enter);
        let on_event = move |_| {
            count.fetch_add(usize::from(!watched.lock().module_is_closed), Ordering::SeqCst);
        };
        let restart = || access.restart(0, || panic!("a call is under way"));
        assert_eq!(with_events(on_event, restart), (false, 1));
        assert_eq!(may_enter.load(Ordering::SeqCst), 1);
        drop(hanging);
    }

    fn token(slot: u64) -> Scope {
        Scope::Token(Slot::try_from(slot).unwrap())
    }

    /// Runs `meanwhile` while a login with this scope hangs.
    fn while_a_login_hangs(access: &ModuleAccess, scope: Scope, meanwhile: impl FnOnce()) {
        let (answered, wait) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = std::sync::mpsc::channel();
        thread::scope(|scoped| {
            let login = scoped.spawn(move || {
                access.alone(scope, 0, || {
                    begun.send(()).unwrap();
                    wait.recv().is_err()
                })
            });
            begins.recv().unwrap();
            meanwhile();
            drop(answered);
            assert!(login.join().unwrap().unwrap());
        });
    }

    #[test]
    fn a_login_that_hangs_holds_up_its_own_token_only() {
        let access = ModuleAccess::new(Duration::from_millis(20));
        while_a_login_hangs(&access, token(1), || {
            for free in [token(2), Scope::Module] {
                assert_eq!(access.enter(free).unwrap().generation(), 0);
            }
            assert_eq!(access.alone(token(2), 0, || 7).unwrap(), 7);
            // Each wait has a limit.
            let error = access.enter(token(1)).unwrap_err();
            assert!(matches!(error, Pkcs11Error::HeldUp { .. }), "{error}");
            for scope in [token(1), Scope::Module] {
                let error = access.alone(scope, 0, || panic!("a login is under way")).unwrap_err();
                assert!(matches!(error, Pkcs11Error::HeldUp { .. }), "{error}");
            }
        });
        access.enter(token(1)).unwrap();
        assert!(access.restart(0, || Restart::Done));
    }

    #[test]
    fn where_a_login_wants_the_module_alone_the_others_wait_for_a_while() {
        let access = ModuleAccess::new(Duration::from_millis(20));
        while_a_login_hangs(&access, Scope::Module, || {
            for scope in [token(1), token(2), Scope::Module] {
                let error = access.enter(scope).unwrap_err();
                assert!(matches!(error, Pkcs11Error::HeldUp { .. }), "{error}");
            }
        });
        access.enter(token(1)).unwrap();
    }

    #[test]
    fn calls_go_one_after_the_other_where_the_module_stands_one_only() {
        let (access, inside) = (ModuleAccess::default().one_at_a_time(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for slot in 0..8 {
                let (access, inside) = (&access, &inside);
                scope.spawn(move || {
                    for round in 0..200 {
                        let alone = || {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                        };
                        if round % 20 == 0 {
                            access.alone(Scope::Module, 0, alone).unwrap();
                        }
                        let _inside = access.enter(token(slot)).unwrap();
                        alone();
                    }
                });
            }
        });
    }

    #[test]
    fn one_call_that_hangs_holds_the_others_up_for_a_while_each() {
        let access = ModuleAccess::new(Duration::from_millis(20)).one_at_a_time();
        let hanging = access.enter(token(1)).unwrap();
        for scope in [token(1), token(2), Scope::Module] {
            let error = access.enter(scope).unwrap_err();
            assert!(matches!(error, Pkcs11Error::HeldUp { .. }), "{error}");
        }
        let error = access.alone(Scope::Module, 0, || panic!("a call is under way")).unwrap_err();
        assert!(matches!(error, Pkcs11Error::HeldUp { .. }), "{error}");
        drop(hanging);
        access.enter(token(2)).unwrap();
        assert_eq!(access.alone(Scope::Module, 0, || 7).unwrap(), 7);
    }

    #[test]
    fn a_login_waits_for_the_calls_to_its_token_only() {
        let access = ModuleAccess::default();
        let elsewhere = access.enter(token(2)).unwrap();
        let same = access.enter(token(1)).unwrap();
        thread::scope(|scope| {
            let login =
                scope.spawn(|| access.alone(token(1), 0, || access.lock().inside(token(1))));
            while !access.lock().keeps_out(token(1)) {
                thread::yield_now();
            }
            drop(same);
            assert_eq!(login.join().unwrap().unwrap(), 0);
        });
        drop(elsewhere);
    }
}
