//! Limits the requests of several processes together.

pub(crate) mod addresses;
pub(crate) mod health;
pub(crate) mod link;
pub(crate) mod lost;
pub(crate) mod server;
pub(crate) mod shared_limit;
pub(crate) mod store;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::connection::dns::resolve::Resolve;
use crate::connection::tls::Tls;
use crate::error::ConfigError;
use crate::rate_limit::redis::link::RedisLink;
use crate::rate_limit::redis::shared_limit::SharedLimit;
use crate::rate_limit::{LimitKey, RateLimited, RateLimiter};

/// Limits the requests of several processes that share an `mchid`, on Redis (5 or later) or Valkey.
///
/// Never allows more requests in a second (or, if the limit is one per minute, in a minute) than the limit, over all
/// processes: a tenth of it at once, the others evenly spread. Slots are reserved by the clock of the server, so the clocks of the processes
/// need not agree, and each request takes one query (another one if its caller is polled more than 100 ms
/// late; if it is again, it takes the share of its process).
///
/// Payments never wait for Redis to recover. If it cannot be reached, does not respond in time, or responds
/// with an error, with an endless response or with impossible values, each process limits itself to its
/// share, as [`InProcessRateLimiter::share_of`](crate::InProcessRateLimiter::share_of) does, until Redis
/// responds again. Each such change, and each moment for which a process stalls, may add up to a tenth of the limit (or one
/// request per process) to the second in which it falls. With a limit per minute it adds to the minute, in which several
/// changes may fall: three of them, three tenths. While only some processes have lost Redis, their shares come on top of
/// what the others send.
///
/// Set `maxmemory-policy noeviction`: a Redis that evicts keys loses reservations, and so does one that is
/// flushed or restarted. Each query includes the last known state. A key that was lost, or is older than that
/// state, or is impossible (more than a minute too far ahead), is therefore detected: the known state is
/// written again, a warning is logged once, and the process limits itself to its share for ten seconds. While
/// keys are lost again and again, [`is_degraded`](Self::is_degraded) alternates, and in the second of such a
/// change there may be up to a fifth more requests than the limit; in a minute, up to a tenth more for each change.
///
/// The first request opens the connection in the background; dropping the limiter closes it. Keys are named
/// `wxpay:rate:{identity}:operation:100/1s` (with the braces; 100 requests in 1 s), and expire a minute after the last
/// request. Processes that disagree on a limit, as while a new version is rolled out, do not share it. The
/// limiter holds one connection to one server: for a cluster, use the address of its proxy. The user needs
/// the commands `EVALSHA`, `SCRIPT LOAD`, `TIME`, `GET` and `SET`.
///
/// # Example
/// ```no_run
/// use std::num::NonZeroU32;
/// use std::time::Duration;
/// use wxpay_transport::{Client, RedisRateLimiter};
/// # use wxpay_auth::{FileKeySigner, KeyRing, Mchid};
/// # fn client(mchid: Mchid, signer: FileKeySigner, key_ring: KeyRing) -> Result<(), Box<dyn std::error::Error>> {
///
/// // Four processes of the shop send requests for this mchid.
/// let processes = NonZeroU32::new(4).ok_or("no process")?;
/// let limiter = RedisRateLimiter::new(&std::env::var("REDIS_URL")?, processes)?
///     .response_timeout(Duration::from_millis(20));
/// let client = Client::builder(mchid, signer, key_ring).rate_limiter(limiter).build()?;
/// # Ok(())
/// # }
/// ```
pub struct RedisRateLimiter {
    limit: SharedLimit<RedisLink>,
}

impl RedisRateLimiter {
    /// Creates a limiter for one of this many processes. Does not connect to Redis yet.
    ///
    /// The URL is `redis://host`, or with all parts `rediss://user:password@host:6379/0`; `rediss` is
    /// Redis over TLS. Special characters in user and password are percent-encoded.
    ///
    /// # Errors
    /// [`ConfigError::RedisUrl`] if the URL is invalid; the error does not repeat it.
    pub fn new(url: &str, processes: NonZeroU32) -> Result<Self, ConfigError> {
        let link = RedisLink::new(url)?;
        let server = link.server();
        Ok(Self { limit: SharedLimit::new(link, server, processes) })
    }

    /// Sets how long to wait for a response of Redis. The default is 50 ms, the minimum 1 ms, the maximum 1 s.
    ///
    /// A call waits for at most half of its time, and then uses the share of this process.
    #[must_use]
    pub fn response_timeout(mut self, time: Duration) -> Self {
        self.limit.response_timeout = time.clamp(Duration::from_millis(1), Duration::from_secs(1));
        self
    }

    /// Sets how long Redis is not queried after a failure. The default is 1 s, the maximum a day. After a lost
    /// key it is ten times as long.
    ///
    /// After that, one request at a time checks whether Redis is available again.
    #[must_use]
    pub fn rest(mut self, time: Duration) -> Self {
        self.limit.health.rest(time.min(Duration::from_secs(86400)));
        self
    }

    /// Sets the TLS settings for `rediss://`: [`Tls`], a `rustls::RootCertStore`, or a whole
    /// `rustls::ClientConfig`. The default is `ring`, TLS 1.2 and 1.3, and the roots of the platform, or those
    /// of Mozilla if the platform has none. Ignored with `redis://`.
    ///
    /// # Errors
    /// [`ConfigError::Tls`] if they cannot be used.
    pub fn tls(mut self, tls: impl Into<Tls>) -> Result<Self, ConfigError> {
        self.limit.store.tls(&tls.into())?;
        Ok(self)
    }

    /// Sets the resolver of the host name in the URL. The default is the operating system.
    ///
    /// All addresses are tried: the next one when an address fails, or in parallel when it does not respond. An
    /// address that failed is tried last for a minute.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.limit.store.resolver(Arc::new(resolver));
        self
    }

    /// Returns whether Redis is lost, as far as is known, so that this process limits itself to its share.
    pub fn is_degraded(&self) -> bool {
        self.limit.health.is_lost()
    }
}

#[async_trait]
impl RateLimiter for RedisRateLimiter {
    async fn acquire(&self, key: LimitKey<'_>, left: Duration) -> Result<(), RateLimited> {
        self.limit.acquire(key, left).await
    }
}

impl fmt::Debug for RedisRateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisRateLimiter")
            .field("redis", &self.limit.store)
            .field("limit", &self.limit)
            .finish()
    }
}
