//! When a module is restarted.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Pkcs11Error;
use crate::module::Module;

/// Limits how often a module is restarted while one of its tokens stays away: a restart affects all
/// tokens of the module.
#[derive(Debug, Default)]
pub(crate) struct Restarts(Mutex<Backoff>);

impl Restarts {
    fn lock(&self) -> MutexGuard<'_, Backoff> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A user of a module, which may request a restart.
#[derive(Debug)]
pub(crate) struct Restarter {
    module: Arc<Module>,
    may_restart: bool,
    number: u64,
    /// Whether it has restarted the module since its last success.
    waits: AtomicBool,
}

impl Restarter {
    pub(crate) fn new(module: Arc<Module>, may_restart: bool) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { module, may_restart, number, waits: AtomicBool::new(false) }
    }

    pub(crate) fn module(&self) -> &Module {
        &self.module
    }

    /// Runs `something`, and retries it after a restart if that may help against its error and
    /// `again` permits it.
    pub(crate) fn twice<T>(
        &self,
        again: impl Fn() -> bool,
        something: impl Fn() -> Result<T, Pkcs11Error>,
    ) -> Result<T, Pkcs11Error> {
        let generation = self.module.access().generation();
        let ended = match something() {
            Err(error) if again() && self.restart(generation, &error) => something(),
            ended => ended,
        };
        ended.map_err(|error| self.explain(error))
    }

    /// Replaces an error by its cause, if that is known: the failed restart, or the calls that
    /// prevent the restart.
    pub(crate) fn explain(&self, error: Pkcs11Error) -> Pkcs11Error {
        let hung = self.module.access().hung();
        if hung > 0 && help(&error, false) == (Help::Restart { harmless: false }) {
            return Pkcs11Error::RestartHeldUp { calls: hung, source: Box::new(error) };
        }
        if matches!(error, Pkcs11Error::Restarted) || error.is_not_initialized() {
            return self.module.down().unwrap_or(error);
        }
        error
    }

    /// Restarts the module if that may help against this error and the wait since the last restart
    /// is over. Returns whether to retry, also if another thread has restarted it since
    /// `generation`.
    pub(crate) fn restart(&self, generation: u64, error: &Pkcs11Error) -> bool {
        match help(error, self.module.access().generation() != generation) {
            Help::Again => true,
            Help::Restart { harmless } if self.may_restart && self.module.is_ours() => {
                let due = self.module.restarts().lock().take(self.number, Instant::now(), harmless);
                if due {
                    self.waits.store(true, Ordering::Relaxed);
                }
                due && self.module.restart(generation)
            }
            Help::None | Help::Restart { .. } => false,
        }
    }

    /// Notes that the token works.
    pub(crate) fn works(&self) {
        if self.waits.load(Ordering::Relaxed) && self.waits.swap(false, Ordering::Relaxed) {
            self.module.restarts().lock().works(self.number);
        }
    }
}

impl Drop for Restarter {
    fn drop(&mut self) {
        self.module.restarts().lock().waiting.remove(&self.number);
    }
}

/// What may help against an error.
#[derive(Debug, PartialEq, Eq)]
enum Help {
    None,
    /// A retry: another thread has restarted the module.
    Again,
    Restart {
        /// It ends no sessions.
        harmless: bool,
    },
}

fn help(error: &Pkcs11Error, was_restarted: bool) -> Help {
    match error {
        Pkcs11Error::Restarted => Help::Again,
        error if !error.may_be_the_module() => Help::None,
        _ if was_restarted => Help::Again,
        // A module that is not initialised has no sessions that a restart could end.
        error if error.is_not_initialized() => Help::Restart { harmless: true },
        _ => Help::Restart { harmless: false },
    }
}

#[derive(Debug, Default)]
struct Backoff {
    last: Option<Instant>,
    /// The number of restarts since all users in `waiting` worked again.
    restarts: u32,
    /// The users that have restarted the module and do not work again yet.
    waiting: BTreeSet<u64>,
}

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The wait between restarts that end no sessions.
const HARMLESS_WAIT: Duration = Duration::from_millis(50);
/// After this time without a restart, the count starts again.
const FORGOTTEN: Duration = Duration::from_secs(60);

impl Backoff {
    /// Returns whether a restart is due, and notes it.
    fn take(&mut self, who: u64, now: Instant, harmless: bool) -> bool {
        let since = self.last.map(|last| now.saturating_duration_since(last));
        if since.is_some_and(|since| since >= FORGOTTEN) {
            self.restarts = 0;
        }
        let doublings = self.restarts.saturating_sub(1).min(16);
        let wait = if harmless {
            HARMLESS_WAIT
        } else {
            FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT)
        };
        if since.is_some_and(|since| since < wait) {
            return false;
        }
        self.last = Some(now);
        self.restarts = self.restarts.saturating_add(1);
        self.waiting.insert(who);
        true
    }

    fn works(&mut self, who: u64) {
        // The success of a user that did not wait says nothing about the others.
        if self.waiting.remove(&who) && self.waiting.is_empty() {
            // Keeps `last`, so that a token that fails every other time is not restarted every
            // other time.
            self.restarts = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use wxpay_auth_core::SignErrorKind;

    use super::*;

    fn at(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn restarts_are_spaced_out() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        let mut take = |millis| backoff.take(1, at(start, millis), false);
        assert!(take(0));
        assert!(!take(499) && take(500));
        assert!(!take(1_499) && take(1_500));
        assert!(!take(3_499) && take(3_500));
        backoff.works(1);
        let mut take = |millis| backoff.take(1, at(start, millis), false);
        assert!(!take(3_999) && take(4_000));
        assert!(!take(4_499) && take(4_500));

        let mut long = Backoff { last: Some(start), restarts: 40, waiting: BTreeSet::new() };
        assert!(!long.take(1, at(start, 29_999), false) && long.take(1, at(start, 30_000), false));
        assert!(!long.take(1, at(start, 30_049), true) && long.take(1, at(start, 30_050), true));
        // After a long time, the count starts again.
        assert!(long.take(1, at(start, 100_000), false));
        assert!(long.take(1, at(start, 100_500), false));
    }

    #[test]
    fn many_who_wait_restart_no_more_often_than_one() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        let mut taken = 0;
        for millis in (0..40_000).step_by(100) {
            for who in 0..8 {
                taken += usize::from(backoff.take(who, at(start, millis), false));
                // The success of another user does not change that.
                backoff.works(99);
            }
        }
        // At 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s.
        assert_eq!(taken, 7);
    }

    #[test]
    fn the_waits_are_short_again_when_all_work_again() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        assert!(backoff.take(1, at(start, 0), false));
        assert!(backoff.take(2, at(start, 500), false));
        backoff.works(1);
        assert!(!backoff.take(2, at(start, 1_499), false));
        backoff.works(2);
        assert!(backoff.take(2, at(start, 1_499), false));
    }

    #[test]
    fn what_helps_depends_on_the_error() {
        let call = |code: &str, kind| Pkcs11Error::Call {
            call: "C_OpenSession".to_owned(),
            code: code.to_owned(),
            kind,
        };
        let (not_there, away, wrong) = (
            call("CKR_CRYPTOKI_NOT_INITIALIZED", SignErrorKind::SessionLost),
            call("CKR_DEVICE_REMOVED", SignErrorKind::Unavailable),
            call("CKR_MECHANISM_INVALID", SignErrorKind::Unsupported),
        );
        // That the module was restarted is not an error for callers.
        for was_restarted in [false, true] {
            assert_eq!(help(&Pkcs11Error::Restarted, was_restarted), Help::Again);
            assert_eq!(help(&wrong, was_restarted), Help::None);
            assert_eq!(help(&Pkcs11Error::NoPin, was_restarted), Help::None);
        }
        assert_eq!(help(&away, true), Help::Again);
        assert_eq!(help(&away, false), Help::Restart { harmless: false });
        assert_eq!(help(&not_there, false), Help::Restart { harmless: true });
    }
}
