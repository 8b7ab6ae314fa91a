//! Rate limits of interfaces.

pub(crate) mod in_process;
pub(crate) mod keyed;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod turns;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::message::interface_limit::RateLimit;

/// What is limited: one interface, for one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitKey<'a> {
    /// The caller: the `mchid`, or the `brand_id`.
    pub identity: &'a str,
    /// The interface, as [`Request::operation`](crate::Request::operation) names it.
    pub operation: &'a str,
    /// The limit of WeChat Pay.
    pub limit: RateLimit,
}

impl<'a> LimitKey<'a> {
    /// Names the limited interface and its caller, for tests of custom limiters.
    pub const fn new(identity: &'a str, operation: &'a str, limit: RateLimit) -> Self {
        Self { identity, operation, limit }
    }
}

/// The request would have to wait for too long. It was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimited {
    /// The time after which a retry is worthwhile.
    pub retry_after: Duration,
}

impl RateLimited {
    /// Creates the refusal, for custom limiters, with the time after which a retry is worthwhile.
    pub const fn new(retry_after: Duration) -> Self {
        Self { retry_after }
    }
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

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        #[async_trait]
        impl<L: RateLimiter + ?Sized> RateLimiter for $pointer {
            async fn acquire(&self, key: LimitKey<'_>, left: Duration) -> Result<(), RateLimited> {
                (**self).acquire(key, left).await
            }
        }
    )+};
}

forward!(&L, Arc<L>, Box<L>);

/// Limits nothing: for tests, or if something in front of WeChat Pay limits requests.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRateLimit;

#[async_trait]
impl RateLimiter for NoRateLimit {
    async fn acquire(&self, _: LimitKey<'_>, _: Duration) -> Result<(), RateLimited> {
        Ok(())
    }
}
