//! Whether the store of a shared limit answers, and who asks it.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::breaker::{Admission, Breaker, BreakerSettings, BreakerState};
use crate::observe::telemetry;
use crate::rate_limit::redis::shared_limit::Lost;

/// Keeps questions from a store that is lost, but for one at a time after a rest.
pub(crate) struct SharedHealth {
    /// Named in logs.
    server: String,
    rest: Duration,
    state: Mutex<State>,
    is_lost: watch::Sender<bool>,
}

struct State {
    breaker: Breaker,
    /// It was said that keys are lost. A store that evicts loses them again and again.
    is_told: bool,
    /// Of what is the case now nothing was said, for that reason.
    is_quiet: bool,
}

/// The right to ask one question. Dropping it says nothing about the store.
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

    /// Sets how long a store that was lost is left alone.
    pub(crate) fn rest(&mut self, rest: Duration) {
        self.rest = rest;
        self.state = Mutex::new(State::new(rest));
    }

    /// Asks whether the store may be asked. `None`: it is lost.
    pub(crate) fn ask(&self) -> Option<Asking<'_>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.breaker.admit(Instant::now(), true) {
            Admission::Barred => None,
            admission => Some(Asking { health: self, admission: Some(admission) }),
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        *self.is_lost.borrow()
    }

    /// Waits until the store is not lost.
    pub(crate) async fn is_back(&self) {
        // The sender lives as long as this does.
        let _ = self.is_lost.subscribe().wait_for(|is_lost| !is_lost).await;
    }

    /// Changes the state, and says so where it is another one.
    fn note(&self, lost: Option<&Lost>, change: impl FnOnce(&mut Breaker)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state.breaker);
        let is_lost = state.breaker.state() != BreakerState::Closed;
        // Under the lock, so that the last change is the one that is told.
        let was_lost = self.is_lost.send_replace(is_lost);
        let is_changed = was_lost != is_lost;
        let is_news = match lost {
            // What was not said of the last loss is said of this one.
            Some(lost) => (is_changed || state.is_quiet) && state.is_news(lost),
            None => is_changed && !state.is_quiet,
        };
        if is_changed || is_news {
            state.is_quiet = is_lost && !is_news;
        }
        // A subscriber of logs may take its time, or ask this very store.
        drop(state);
        if is_changed {
            telemetry::shared_limit_degraded(is_lost);
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
    /// Tells whether this question finds out whether the store is back.
    pub(crate) fn is_probe(&self) -> bool {
        self.admission == Some(Admission::Probe)
    }

    /// Notes that the store answered.
    pub(crate) fn answered(mut self) {
        if let Some(admission) = self.admission.take() {
            self.health.note(None, |breaker| breaker.succeeded(admission));
        }
    }

    /// Notes that the store did not answer as it should. One that worked and forgets is left alone for
    /// ten times as long: it may do so all the time, and each change lets some more through.
    pub(crate) fn failed(mut self, lost: &Lost) {
        let Some(admission) = self.admission.take() else { return };
        let rest = match (lost, admission) {
            (Lost::Forgotten, Admission::Normal) => self.health.rest.saturating_mul(10).min(DAY),
            _ => self.health.rest,
        };
        self.health.note(Some(lost), |breaker| {
            // While it is lost, only the one that asks whether it is back says something new.
            if breaker.state() == BreakerState::Closed || admission == Admission::Probe {
                *breaker = breaker_with(rest);
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

/// One failure is enough: there is something to fall back to that is nearly as good.
fn breaker_with(rest: Duration) -> Breaker {
    Breaker::new(BreakerSettings { threshold: 1, open_for: rest, longest: rest })
}

impl State {
    fn new(rest: Duration) -> Self {
        Self { breaker: breaker_with(rest), is_told: false, is_quiet: false }
    }

    /// Tells whether a loss is to be told.
    fn is_news(&mut self, lost: &Lost) -> bool {
        *lost != Lost::Forgotten || !std::mem::replace(&mut self.is_told, true)
    }
}

#[cfg(test)]
#[cfg(feature = "metrics")]
mod tests {
    use std::sync::Arc;

    use metrics::{
        Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };

    use super::*;

    /// Keeps what the gauge is set to.
    #[derive(Default)]
    struct Gauges(Arc<Values>);

    #[derive(Default)]
    struct Values(Mutex<Vec<f64>>);

    impl GaugeFn for Values {
        fn increment(&self, _: f64) {}
        fn decrement(&self, _: f64) {}
        fn set(&self, value: f64) {
            self.0.lock().unwrap().push(value);
        }
    }

    impl Recorder for Gauges {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            assert_eq!(key.name(), "wxpay_rate_limiter_degraded");
            Gauge::from_arc(Arc::clone(&self.0))
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn the_gauge_is_set_at_each_change_only() {
        let gauges = Gauges::default();
        metrics::with_local_recorder(&gauges, || {
            let health = SharedHealth::new("redis.test:6379".to_owned(), Duration::ZERO);
            health.ask().unwrap().answered();
            for _ in 0..3 {
                health.ask().unwrap().failed(&Lost::Slow);
            }
            for _ in 0..3 {
                health.ask().unwrap().answered();
            }
        });
        assert_eq!(*gauges.0.0.lock().unwrap(), [0.0, 1.0, 0.0]);
    }
}
