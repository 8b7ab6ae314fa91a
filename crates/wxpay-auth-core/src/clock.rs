//! The source of the current time.

use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// A point in time in whole Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Timestamp(u64);

impl Timestamp {
    /// Creates a timestamp from Unix seconds.
    pub const fn from_unix_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// Returns the Unix seconds.
    pub const fn as_unix_secs(self) -> u64 {
        self.0
    }

    /// Returns how many seconds it is later than another; negative if it is earlier.
    pub fn seconds_after(self, other: Self) -> i64 {
        let difference = i128::from(self.0) - i128::from(other.0);
        i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A source of the current time. Nothing else in these crates reads the wall clock.
///
/// Every `Fn() -> Timestamp` is a clock, so a test can fix the time:
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::{Clock, Timestamp};
///
/// let clock = || Timestamp::from_unix_secs(1_554_208_460);
/// assert_eq!(clock.now().to_string(), "1554208460");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `Clock`",
    label = "expected `SystemClock`, a closure that returns a `Timestamp`, or a clock of your own",
    note = "the type is also `Send + Sync`"
)]
pub trait Clock: Send + Sync {
    /// Returns the current time.
    fn now(&self) -> Timestamp;
}

impl<F: Fn() -> Timestamp + Send + Sync> Clock for F {
    fn now(&self) -> Timestamp {
        self()
    }
}

impl Clock for Arc<dyn Clock> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> Timestamp {
        let now = std::time::SystemTime::now();
        // The server refuses a clock before 1970 like any other wrong clock.
        Timestamp(now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign_and_do_not_overflow() {
        let at = Timestamp::from_unix_secs;
        assert_eq!(at(10).seconds_after(at(3)), 7);
        assert_eq!(at(3).seconds_after(at(10)), -7);
        assert_eq!(at(u64::MAX).seconds_after(at(0)), i64::MAX);
        assert_eq!(at(0).seconds_after(at(u64::MAX)), i64::MIN);
    }

    #[test]
    fn the_system_clock_is_past_2020() {
        assert!(SystemClock.now() > Timestamp::from_unix_secs(1_577_836_800));
    }
}
