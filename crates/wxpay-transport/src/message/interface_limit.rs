//! The limit that WeChat Pay publishes for an interface.

use std::num::NonZeroU32;
use std::time::Duration;

/// How many requests per second, or per minute, WeChat Pay accepts for one interface and one `mchid`.
///
/// A request without a limit ([`Request::with_rate_limit`](crate::Request::with_rate_limit)) is not
/// limited: for many interfaces no figure is published.
///
/// ```
/// use std::time::Duration;
/// use wxpay_transport::RateLimit;
///
/// // 900 stores of a brand a minute.
/// let limit = RateLimit::per_minute(900);
/// assert_eq!((limit.requests().get(), limit.period()), (900, Duration::from_secs(60)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateLimit {
    requests: NonZeroU32,
    period: Period,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Period {
    Second,
    Minute,
}

impl RateLimit {
    /// Creates a limit of requests per second. 0 counts as 1.
    pub const fn per_second(requests: u32) -> Self {
        Self::new(requests, Period::Second)
    }

    /// Creates a limit of requests per minute. 0 counts as 1.
    pub const fn per_minute(requests: u32) -> Self {
        Self::new(requests, Period::Minute)
    }

    const fn new(requests: u32, period: Period) -> Self {
        match NonZeroU32::new(requests) {
            Some(requests) => Self { requests, period },
            None => Self { requests: NonZeroU32::MIN, period },
        }
    }

    /// Returns the number of requests in a [`period`](Self::period).
    pub fn requests(self) -> NonZeroU32 {
        self.requests
    }

    /// Returns the period: a second or a minute.
    pub fn period(self) -> Duration {
        match self.period {
            Period::Second => Duration::from_secs(1),
            Period::Minute => Duration::from_secs(60),
        }
    }
}
