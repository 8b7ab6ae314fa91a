//! Rate limits of interfaces.

pub(crate) mod in_process;
pub(crate) mod keyed;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod turns;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

/// How many requests per second WeChat Pay accepts for one interface and one `mchid`.
///
/// A request without a limit ([`Request::with_rate_limit`](crate::Request::with_rate_limit)) is not
/// limited: for many interfaces no figure is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateLimit {
    per_second: NonZeroU32,
}

impl RateLimit {
    /// Creates a limit. 0 counts as 1.
    pub const fn per_second(requests: u32) -> Self {
        match NonZeroU32::new(requests) {
            Some(per_second) => Self { per_second },
            None => Self { per_second: NonZeroU32::MIN },
        }
    }

    /// Returns the number of requests per second.
    pub fn requests(self) -> NonZeroU32 {
        self.per_second
    }
}

/// What is limited: one interface, for one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitKey<'a> {
    /// The caller: the `mchid`, or the `brand_id`.
    pub identity: &'a str,
    /// The interface, as [`Request::operation`](crate::Request::operation) names it.
    pub operation: &'a str,
    /// The limit of WeChat Pay.
    pub limit: RateLimit,
}

/// The request would have to wait for too long. It was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimited {
    /// The time after which a retry is worthwhile.
    pub retry_after: Duration,
}

/// Keeps requests below the limits of WeChat Pay.
///
/// [`InProcessRateLimiter`](crate::InProcessRateLimiter) does so for one process;
/// `RedisRateLimiter` (feature `redis`) for several that share an `mchid`. Clones of an `Arc` may be given to
/// several clients.
///
/// A panic in it before the first attempt of a call propagates to the caller: nothing was sent. A later one
/// is caught and logged, and the call ends with the result of its last attempt.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `RateLimiter`",
    label = "expected an `InProcessRateLimiter`, a `RedisRateLimiter`, or a limiter of your own",
    note = "implementations begin with `#[async_trait]` (`wxpay_transport::async_trait`); the type is also `Debug + Send + Sync`"
)]
#[async_trait]
pub trait RateLimiter: fmt::Debug + Send + Sync {
    /// Waits until a request may be sent. `left` is how long its call may wait; if the request would have to
    /// wait for longer, it is refused at once.
    ///
    /// Dropping the future gives up the place.
    ///
    /// # Errors
    /// [`RateLimited`] if the wait would be too long, or too many requests are waiting.
    async fn acquire(&self, key: LimitKey<'_>, left: Duration) -> Result<(), RateLimited>;
}

#[async_trait]
impl<T: RateLimiter + ?Sized> RateLimiter for Arc<T> {
    async fn acquire(&self, key: LimitKey<'_>, left: Duration) -> Result<(), RateLimited> {
        (**self).acquire(key, left).await
    }
}

/// Limits nothing: for tests, or if something in front of WeChat Pay limits requests.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRateLimit;

#[async_trait]
impl RateLimiter for NoRateLimit {
    async fn acquire(&self, _: LimitKey<'_>, _: Duration) -> Result<(), RateLimited> {
        Ok(())
    }
}
