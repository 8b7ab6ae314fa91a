//! Retry policies.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::error::Error;
use crate::message::replay::Replay;
use crate::message::response::Response;

/// Decides how long to wait before another attempt, or to give up.
///
/// It is called only if another attempt does no harm: nothing was sent, WeChat Pay did not accept the call
/// (429), or the call may be repeated ([`Replay`]) and may succeed. So no policy can make the client carry
/// out a call twice that must not be.
///
/// Each attempt is a new request, with a new timestamp, nonce and signature.
///
/// A panic in it is caught and logged: the call ends with the result of its last attempt.
///
/// ```
/// use std::time::Duration;
/// use wxpay_transport::{Attempted, RetryPolicy};
///
/// /// Waits for a second, once.
/// #[derive(Debug)]
/// struct Once;
///
/// impl RetryPolicy for Once {
///     fn wait(&self, attempted: &Attempted<'_>) -> Option<Duration> {
///         (attempted.attempts() == 1).then_some(Duration::from_secs(1))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `RetryPolicy`",
    label = "expected a `Backoff`, `NoRetry`, or a policy of your own",
    note = "the type is also `Debug + Send + Sync`"
)]
pub trait RetryPolicy: fmt::Debug + Send + Sync {
    /// Returns how long to wait before the next attempt; `None` ends the call with the result of the last
    /// attempt. A wait that exceeds what is [`left`](Attempted::left) ends it, too.
    fn wait(&self, attempted: &Attempted<'_>) -> Option<Duration>;
}

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        impl<P: RetryPolicy + ?Sized> RetryPolicy for $pointer {
            fn wait(&self, attempted: &Attempted<'_>) -> Option<Duration> {
                (**self).wait(attempted)
            }
        }
    )+};
}

forward!(&P, Arc<P>, Box<P>);

/// Describes the last attempt to a [`RetryPolicy`].
#[derive(Debug)]
pub struct Attempted<'a> {
    attempts: u32,
    replay: Replay,
    left: Duration,
    ended: &'a Result<Response, Error>,
}

impl<'a> Attempted<'a> {
    /// Describes an attempt that ended like this, for tests of custom policies: how many attempts there were,
    /// whether the call may be repeated, and how long it may wait.
    pub fn new(
        attempts: u32,
        replay: Replay,
        left: Duration,
        ended: &'a Result<Response, Error>,
    ) -> Self {
        Self { attempts, replay, left, ended }
    }

    /// Returns the number of attempts made, at least 1.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns whether the call may be repeated.
    pub fn replay(&self) -> Replay {
        self.replay
    }

    /// Returns how long the call may wait: its remaining time, less a second for the attempt itself (or a
    /// quarter of the call timeout, if that is less).
    pub fn left(&self) -> Duration {
        self.left
    }

    /// Returns the error of the last attempt; `None` after a verified 202 (accepted, not finished).
    pub fn error(&self) -> Option<&'a Error> {
        self.ended.as_ref().err()
    }

    /// Returns the HTTP status of the last attempt, if a response arrived.
    pub fn status(&self) -> Option<StatusCode> {
        match self.ended {
            Ok(response) => Some(response.status()),
            Err(error) => error.status(),
        }
    }

    /// Returns how long WeChat Pay asks to wait (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        match self.ended {
            Ok(response) => response.retry_after(),
            Err(Error::Api(error)) => error.retry_after(),
            Err(_) => None,
        }
    }

    /// Returns whether the last attempt found that WeChat Pay had closed a kept connection.
    pub fn was_stale(&self) -> bool {
        matches!(self.ended, Err(Error::Exchange(error)) if error.is_stale())
    }
}

/// Exponential backoff with full jitter, so that callers who failed together do not retry together.
///
/// The wait before attempt `n + 1` is between zero and `first * 2^(n - 1)`, at most `longest`. It is
/// never shorter than a `Retry-After`. The first retry after a closed kept connection does not wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    attempts: u32,
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// Returns the default: 3 attempts, waits of at most 200 ms and 400 ms.
    pub fn new() -> Self {
        Self { attempts: 3, first: Duration::from_millis(200), longest: Duration::from_secs(5) }
    }

    /// Sets the number of attempts, including the first one. Less than 1 means 1.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Sets the longest wait before the second attempt.
    #[must_use]
    pub fn first(mut self, wait: Duration) -> Self {
        self.first = wait;
        self
    }

    /// Sets the longest wait, apart from a `Retry-After`.
    #[must_use]
    pub fn longest(mut self, wait: Duration) -> Self {
        self.longest = wait;
        self
    }

    fn bound(&self, attempts: u32) -> Duration {
        // Far longer than any call, and within the range that a `Duration` can be multiplied in.
        const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
        let doublings = attempts.saturating_sub(1).min(16);
        self.first.saturating_mul(1 << doublings).min(self.longest).min(FAR)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

impl RetryPolicy for Backoff {
    fn wait(&self, attempted: &Attempted<'_>) -> Option<Duration> {
        if attempted.attempts() >= self.attempts {
            return None;
        }
        if attempted.attempts() == 1 && attempted.was_stale() {
            return Some(Duration::ZERO);
        }
        let wait = self.bound(attempted.attempts()).mul_f64(fastrand::f64());
        Some(wait.max(attempted.retry_after().unwrap_or_default()))
    }
}

/// Never retries.
///
/// A call that could not connect still moves to the standby domain ([`Failover`](crate::Failover)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoRetry;

impl RetryPolicy for NoRetry {
    fn wait(&self, _: &Attempted<'_>) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_and_ends() {
        let backoff = Backoff::new().first(Duration::from_millis(100));
        let backoff = backoff.longest(Duration::from_millis(500));
        let bounds: Vec<_> = (1..6).map(|n| backoff.bound(n).as_millis()).collect();
        assert_eq!(bounds, [100, 200, 400, 500, 500]);
        let absurd = Backoff::new().first(Duration::MAX).longest(Duration::MAX);
        assert_eq!(absurd.bound(u32::MAX), Duration::from_secs(31_536_000));
    }

    #[test]
    fn waits_are_spread_and_attempts_are_bounded() {
        let call = crate::error::CallContext::first("x", "h", Replay::Safe);
        let overload = crate::error::OverloadError::new(call, crate::error::Overload::Rate, None);
        let ended = Err(Error::Overload(overload));
        let wait = |attempts| {
            let left = Duration::from_secs(60);
            Backoff::new().wait(&Attempted::new(attempts, Replay::Safe, left, &ended))
        };
        let bound = Backoff::new().bound(1);
        let waits: Vec<_> = (0..500).filter_map(|_| wait(1)).collect();
        assert_eq!(waits.len(), 500);
        assert!(waits.iter().all(|wait| *wait <= bound));
        assert!(waits.iter().any(|wait| *wait < bound / 4));
        assert!(waits.iter().any(|wait| *wait > bound * 3 / 4));
        assert_eq!((wait(2).is_some(), wait(3)), (true, None));
    }

    #[test]
    fn a_policy_is_told_how_the_attempt_ended() {
        let call = || crate::error::CallContext::first("x", "h", Replay::Safe);
        let cause = crate::error::UnverifiedCause::Truncated;
        let status = StatusCode::CREATED;
        let unverified = crate::error::UnverifiedError::new(call(), status, None, None, cause);
        let ended = Err(Error::Unverified(unverified));
        let left = Duration::from_secs(7);
        let attempted = Attempted::new(2, Replay::Safe, left, &ended);
        assert_eq!((attempted.attempts(), attempted.left()), (2, left));
        assert_eq!(attempted.status(), Some(status));
        assert!(matches!(attempted.error(), Some(Error::Unverified(_))));
        assert!(!attempted.was_stale());

        let overload = crate::error::OverloadError::new(call(), crate::error::Overload::Rate, None);
        let ended = Err(Error::Overload(overload));
        assert_eq!(Attempted::new(1, Replay::Safe, left, &ended).status(), None);
    }

    #[test]
    fn the_number_of_attempts_can_be_set_and_is_at_least_one() {
        let call = crate::error::CallContext::first("x", "h", Replay::Safe);
        let overload = crate::error::OverloadError::new(call, crate::error::Overload::Rate, None);
        let ended = Err(Error::Overload(overload));
        let longest = Duration::from_secs(1);
        let goes_on = |backoff: &Backoff, attempts| {
            backoff.wait(&Attempted::new(attempts, Replay::Safe, longest, &ended)).is_some()
        };
        for (set, made) in [(0, 1), (1, 1), (2, 2), (5, 5)] {
            let backoff = Backoff::new().attempts(set).longest(longest);
            assert!((1..made).all(|attempts| goes_on(&backoff, attempts)), "{set}");
            assert!(!goes_on(&backoff, made), "{set}");
        }
    }

    #[test]
    fn only_the_first_attempt_after_a_closed_connection_does_not_wait() {
        let call = crate::error::CallContext::first("x", "h", Replay::Safe);
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let exchange = crate::error::ExchangeError::new(
            call,
            crate::error::ExchangeFault::Broken,
            crate::Delivery::NotSent,
            broken.into(),
        );
        let ended = Err(Error::Exchange(exchange.stale()));
        let first = Duration::from_secs(1000);
        let backoff = Backoff::new().attempts(9).first(first).longest(first);
        let waits = |attempts| {
            let wait = || backoff.wait(&Attempted::new(attempts, Replay::Safe, first, &ended));
            (0..50).filter_map(|_| wait()).max()
        };
        assert_eq!(waits(1), Some(Duration::ZERO));
        assert!(waits(2) > Some(first / 4));
    }
}
