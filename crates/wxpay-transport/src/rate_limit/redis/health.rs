//! Whether the store of a shared limit responds, and which requests probe it.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::breaker::{Admission, Breaker, BreakerSettings, BreakerState};
use crate::observe::telemetry;
use crate::rate_limit::redis::lost::Lost;

/// Blocks queries to a lost store, except for one at a time after a pause.
pub(crate) struct SharedHealth {
    /// Its name in logs.
    server: String,
    rest: Duration,
    state: Mutex<State>,
    is_lost: watch::Sender<bool>,
}

struct State {
    breaker: Breaker,
    /// A loss of keys was already logged. An evicting store loses them again and again.
    is_told: bool,
    /// The current state was not logged, for that reason.
    is_quiet: bool,
}

/// The right to send one query. Dropping it says nothing about the store.
pub(crate) struct Asking<'h> {
    health: &'h SharedHealth,
    admission: Option<Admission>,
}

impl SharedHealth {
    pub(crate) fn new(server: String, rest: Duration) -> Self {
        telemetry::shared_limit_degraded(false);
        let (is_lost, _) = watch::channel(false);
        Self { server, rest, state: Mutex::new(State::new(rest)), is_lost }
    }

    /// Sets how long a lost store is not queried.
    pub(crate) fn rest(&mut self, rest: Duration) {
        self.rest = rest;
        self.state = Mutex::new(State::new(rest));
    }

    /// Asks whether the store may be queried; `None` if it is lost.
    pub(crate) fn ask(&self) -> Option<Asking<'_>> {
        match self.state().breaker.admit(Instant::now(), true) {
            Admission::Barred => None,
            admission => Some(Asking { health: self, admission: Some(admission) }),
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        *self.is_lost.borrow()
    }

    /// Waits until the store is available.
    pub(crate) async fn is_back(&self) {
        // The sender lives as long as `self`.
        let _ = self.is_lost.subscribe().wait_for(|is_lost| !is_lost).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and reports the change.
    fn note(&self, lost: Option<&Lost>, change: impl FnOnce(&mut Breaker)) {
        let mut state = self.state();
        let was_lost = state.is_lost();
        change(&mut state.breaker);
        let is_lost = state.is_lost();
        let is_changed = was_lost != is_lost;
        let is_news = match lost {
            // A loss that was not logged before is logged now.
            Some(lost) => (is_changed || state.is_quiet) && state.is_news(lost),
            None => is_changed && !state.is_quiet,
        };
        if is_changed || is_news {
            state.is_quiet = is_lost && !is_news;
        }
        // A log subscriber may be slow, or query this very store; the waker of a caller that waits for it may, too.
        drop(state);
        if is_changed {
            // The callers that wait, and the gauge, end with the last state.
            let current = || self.state().is_lost();
            telemetry::settle(is_lost, |is_lost| _ = self.is_lost.send_replace(*is_lost), current);
            telemetry::settle(
                is_lost,
                |is_lost| telemetry::shared_limit_degraded(*is_lost),
                current,
            );
        }
        match lost {
            Some(lost) if is_news => telemetry::shared_limit_lost(&self.server, lost),
            None if is_news => telemetry::shared_limit_back(&self.server),
            _ => {}
        }
    }
}

impl fmt::Debug for SharedHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedHealth")
            .field("server", &self.server)
            .field("rest", &self.rest)
            .field("is_lost", &self.is_lost())
            .finish_non_exhaustive()
    }
}

impl Asking<'_> {
    /// Returns whether this query finds out whether the store is available again.
    pub(crate) fn is_probe(&self) -> bool {
        matches!(self.admission, Some(Admission::Probe(_)))
    }

    /// Records that the store responded.
    pub(crate) fn answered(mut self) {
        if let Some(admission) = self.admission.take() {
            self.health.note(None, |breaker| breaker.succeeded(admission));
        }
    }

    /// Records that the store did not respond correctly. A store that works but loses keys is not queried for
    /// ten times as long: it may lose them all the time, and each change of state lets some more requests through.
    pub(crate) fn failed(mut self, lost: &Lost) {
        let Some(admission) = self.admission.take() else { return };
        let rest = match (lost, admission) {
            (Lost::Forgotten, Admission::Normal) => self.health.rest.saturating_mul(10).min(DAY),
            _ => self.health.rest,
        };
        self.health.note(Some(lost), |breaker| {
            // While the store is lost, only the probe provides new information.
            let is_closed = breaker.state() == BreakerState::Closed;
            if is_closed && !breaker.is_passed(admission) || breaker.is_current(admission) {
                breaker.begin_with(settings_for(rest));
                breaker.failed(Instant::now(), Admission::Normal);
            }
        });
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            self.health.note(None, |breaker| breaker.given_up(admission));
        }
    }
}

const DAY: Duration = Duration::from_secs(86400);

/// A query gets its response within a second, or fails.
const PROBE: Duration = Duration::from_secs(2);

/// One failure is enough: the fallback is nearly as good.
fn settings_for(rest: Duration) -> BreakerSettings {
    BreakerSettings { threshold: 1, open_for: rest, longest: rest, probe_for: PROBE }
}

impl State {
    fn new(rest: Duration) -> Self {
        Self { breaker: Breaker::new(settings_for(rest)), is_told: false, is_quiet: false }
    }

    fn is_lost(&self) -> bool {
        self.breaker.state() != BreakerState::Closed
    }

    /// Returns whether a loss should be logged.
    fn is_news(&mut self, lost: &Lost) -> bool {
        *lost != Lost::Forgotten || !std::mem::replace(&mut self.is_told, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_was_passed_does_not_lose_a_store_that_is_back() {
        let health = SharedHealth::new("redis.test:6379".to_owned(), Duration::ZERO);
        health.ask().unwrap().failed(&Lost::Slow);
        let passed = health.ask().unwrap();
        assert!(passed.is_probe());
        tokio::time::advance(PROBE).await;
        health.ask().unwrap().answered();
        assert!(!health.is_lost());
        passed.failed(&Lost::Slow);
        assert!(!health.is_lost());
        health.ask().unwrap().failed(&Lost::Slow);
        assert!(health.is_lost());
    }
}

#[cfg(test)]
#[cfg(feature = "metrics")]
mod gauge_tests {
    use std::sync::Arc;

    use super::*;
    use crate::observe::gauges::OneGauge;

    fn health() -> SharedHealth {
        SharedHealth::new("redis.test:6379".to_owned(), Duration::ZERO)
    }

    #[test]
    fn the_gauge_is_set_at_each_change_only() {
        let gauge = OneGauge::new("wxpay_rate_limiter_degraded");
        metrics::with_local_recorder(&gauge, || {
            let health = health();
            health.ask().unwrap().answered();
            for _ in 0..3 {
                health.ask().unwrap().failed(&Lost::Slow);
            }
            for _ in 0..3 {
                health.ask().unwrap().answered();
            }
        });
        assert_eq!(gauge.values(), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn the_gauge_ends_with_the_last_state() {
        let gauge = OneGauge::new("wxpay_rate_limiter_degraded");
        metrics::with_local_recorder(&gauge, || {
            let health = Arc::new(health());
            let other = Arc::clone(&health);
            gauge.meanwhile(1.0, move || other.ask().unwrap().answered());
            health.ask().unwrap().failed(&Lost::Slow);
            assert!(!health.is_lost());
        });
        assert_eq!(gauge.values().last(), Some(&0.0), "{:?}", gauge.values());
    }
}
