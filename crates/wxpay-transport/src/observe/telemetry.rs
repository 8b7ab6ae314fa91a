//! State logs and metrics. Panics of the application's recorder are caught.

use std::borrow::Cow;
#[cfg(feature = "metrics")]
use std::sync::Arc;
use std::time::Duration;

use rustls::HandshakeKind;

use crate::breaker::BreakerState;
use crate::error::{CallContext, Overload};
use crate::observe::audit::AuditOutcome;
use crate::observe::log;
#[cfg(feature = "metrics")]
use crate::panics::caught;

/// Calls the application's recorder.
#[cfg(feature = "metrics")]
fn tell(recorder: impl FnOnce()) {
    let _ = caught("metrics recorder", recorder);
}

/// Publishes a state, such as to a gauge, and again if the state has changed meanwhile: of two threads, the one
/// that changed it first may publish last.
pub(crate) fn settle<T: PartialEq>(mut state: T, set: impl Fn(&T), current: impl Fn() -> T) {
    loop {
        set(&state);
        let now = current();
        if now == state {
            return;
        }
        state = now;
    }
}

/// Reports a changed state of a domain's breaker.
pub(crate) fn breaker(host: &str, after: BreakerState, current: impl Fn() -> BreakerState) {
    match after {
        BreakerState::Open => log::warn!(host, "calls leave this domain: it keeps failing"),
        BreakerState::HalfOpen => log::info!(host, "one call probes this domain"),
        BreakerState::Closed => log::info!(host, "this domain works again"),
    }
    settle(after, |after| breaker_state(host, *after), current);
}

fn breaker_state(host: &str, state: BreakerState) {
    #[cfg(feature = "metrics")]
    tell(|| {
        metrics::gauge!("wxpay_breaker_state", "host" => host.to_owned()).set(match state {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        });
    });
    let _ = (host, state);
}

/// What a connection was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// For a waiting call.
    Call,
    /// For the next call, in advance.
    Spare,
}

/// Reports an opened connection, and how TLS was negotiated.
pub(crate) fn connected(host: &str, handshake: Option<HandshakeKind>, purpose: Purpose) {
    let tls = match handshake {
        None => "none",
        Some(HandshakeKind::Resumed) => "resumed",
        Some(_) => "full",
    };
    log::debug!(host, tls, ?purpose, "opened a connection");
    #[cfg(feature = "metrics")]
    tell(|| {
        metrics::counter!(
            "wxpay_connections_total",
            "host" => host.to_owned(),
            "tls" => tls,
            "purpose" => match purpose {
                Purpose::Call => "call",
                Purpose::Spare => "spare",
            },
        )
        .increment(1);
    });
}

/// Reports how long a signature took.
pub(crate) fn signed(call: &CallContext, took: Duration) {
    #[cfg(feature = "metrics")]
    tell(|| {
        metrics::histogram!("wxpay_sign_seconds", "operation" => call.operation.clone())
            .record(took);
    });
    let _ = (call, took);
}

/// Reports the result of an attempt; `round_trip` is the time since sending began.
pub(crate) fn attempt(call: &CallContext, outcome: AuditOutcome, round_trip: Option<Duration>) {
    #[cfg(feature = "metrics")]
    {
        tell(|| {
            metrics::counter!(
                "wxpay_attempts_total",
                "operation" => call.operation.clone(),
                "host" => Arc::clone(&call.host),
                "outcome" => outcome.as_str(),
            )
            .increment(1);
        });
        if let Some(round_trip) = round_trip {
            tell(|| {
                metrics::histogram!(
                    "wxpay_round_trip_seconds",
                    "operation" => call.operation.clone(),
                    "host" => Arc::clone(&call.host),
                )
                .record(round_trip);
            });
        }
    }
    let _ = (call, outcome, round_trip);
}

/// Counts a call when it ends or is dropped.
pub(crate) struct CallCount {
    operation: Cow<'static, str>,
    outcome: Option<AuditOutcome>,
}

impl CallCount {
    pub(crate) fn begin(operation: Cow<'static, str>) -> Self {
        Self { operation, outcome: None }
    }

    /// Records the outcome of the call.
    pub(crate) fn end(mut self, outcome: AuditOutcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for CallCount {
    fn drop(&mut self) {
        let Self { operation, outcome } = self;
        #[cfg(feature = "metrics")]
        tell(|| {
            metrics::counter!(
                "wxpay_calls_total",
                "operation" => std::mem::take(operation),
                "outcome" => outcome.map_or("dropped", AuditOutcome::as_str),
            )
            .increment(1);
        });
        let _ = (operation, outcome);
    }
}

/// Reports that an attempt moved to another domain.
pub(crate) fn moved(from: &str, to: &str) {
    log::debug!(from, to, "the next attempt goes to the other domain");
    #[cfg(feature = "metrics")]
    tell(|| {
        metrics::counter!("wxpay_failovers_total", "from" => from.to_owned(), "to" => to.to_owned())
            .increment(1);
    });
}

/// Reports a call refused by a limit of this process.
pub(crate) fn overload(operation: &str, overload: Overload) {
    #[cfg(feature = "metrics")]
    tell(|| {
        metrics::counter!(
            "wxpay_overloads_total",
            "operation" => operation.to_owned(),
            "what" => match overload {
                Overload::Calls => "calls",
                Overload::Rate => "rate",
            },
        )
        .increment(1);
    });
    let _ = (operation, overload);
}

/// Sets the gauge of a rate limit shared by several processes.
#[cfg(feature = "redis")]
pub(crate) fn shared_limit_degraded(is_degraded: bool) {
    #[cfg(feature = "metrics")]
    tell(|| {
        metrics::gauge!("wxpay_rate_limiter_degraded").set(if is_degraded { 1.0 } else { 0.0 });
    });
    let _ = is_degraded;
}

/// Reports that the store of a shared limit was lost.
#[cfg(feature = "redis")]
pub(crate) fn shared_limit_lost(server: &str, why: &dyn std::fmt::Display) {
    log::warn!(server, %why, "the shared rate limit is lost: this process uses its share of the limit");
}

/// Reports that the store of a shared limit responds again.
#[cfg(feature = "redis")]
pub(crate) fn shared_limit_back(server: &str) {
    log::info!(server, "the shared rate limit is back");
}
