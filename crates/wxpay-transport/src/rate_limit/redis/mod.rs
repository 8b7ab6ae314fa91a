//! Limits the requests of several processes.

pub(crate) mod addresses;
pub(crate) mod health;
pub(crate) mod link;
pub(crate) mod shared_limit;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustls::ClientConfig;

use crate::connection::dns::resolve::Resolve;
use crate::error::ConfigError;
use crate::rate_limit::redis::link::RedisLink;
use crate::rate_limit::redis::shared_limit::SharedLimit;
use crate::rate_limit::{LimitKey, RateLimited, RateLimiter};

/// Limits the requests of several processes that share an `mchid`, on Redis (5 or later) or Valkey.
///
/// In no second more requests get a place than the limit says, over all processes: a tenth of it at
/// once, the others evenly spread. Places are reserved by the clock of the server, so those of the
/// processes need not agree, and nobody asks twice.
///
/// Payments never wait for Redis to come back. When it cannot be reached, does not answer in time, or answers with an error, without
/// an end or with what cannot be true, each process keeps to its share, as
/// [`InProcessRateLimiter::share_of`](crate::InProcessRateLimiter::share_of) does, until Redis answers again. In the second of such a change there may be up to a tenth more than
/// the limit (or one more for each process); and while only some processes have lost it, their shares
/// come on top of what the others send.
///
/// Set `maxmemory-policy noeviction`: a Redis that evicts keys loses what was reserved, and so does one
/// that is flushed or restarted. Each process says with its question what it was told last. So a key that
/// was lost, or holds less than that, or what nobody can have reserved (a minute too far ahead), is
/// noticed: what the process knows is written again, it is warned of once, and the process keeps to its share
/// for ten seconds. While keys are lost again and again, [`is_degraded`](Self::is_degraded) comes and goes, and in
/// the second of such a change there may be up to a fifth more than the limit.
///
/// The connection is made in the background by the first request, and closed when the limiter is
/// dropped. Keys are named `wxpay:rate:{identity}:operation` (with the braces), and expire a minute after
/// the last request. One connection to one server is held: of a cluster, use the address of its
/// proxy. The user needs the commands `EVALSHA`, `SCRIPT LOAD`, `TIME`, `GET` and `SET`.
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
///     .answer_within(Duration::from_millis(20));
/// let client = Client::builder(mchid, signer, key_ring).rate_limiter(limiter).build()?;
/// # Ok(())
/// # }
/// ```
pub struct RedisRateLimiter {
    limit: SharedLimit<RedisLink>,
}

impl RedisRateLimiter {
    /// Makes one for a process that is one of so many. It needs no Redis yet.
    ///
    /// The URL is `redis://host`, or with all parts `rediss://user:password@host:6379/0`; `rediss` is
    /// Redis over TLS. Special characters in user and password are percent-encoded.
    ///
    /// # Errors
    /// [`ConfigError::RedisUrl`] when the URL cannot be read; it does not repeat it.
    pub fn new(url: &str, processes: NonZeroU32) -> Result<Self, ConfigError> {
        let link = RedisLink::new(url)?;
        let server = link.server();
        Ok(Self { limit: SharedLimit::new(link, server, processes) })
    }

    /// Sets how long a response of Redis may take: 50 ms by default, a millisecond at least and a second at
    /// most.
    ///
    /// A call waits for it half of its time at most, and takes its place from the share of this process
    /// after that.
    #[must_use]
    pub fn answer_within(mut self, time: Duration) -> Self {
        self.limit.answer_within = time.clamp(Duration::from_millis(1), Duration::from_secs(1));
        self
    }

    /// Sets for how long Redis is not asked after it has failed: a second by default, a day at most. After a key
    /// was lost it is ten times as long.
    ///
    /// After that, one request at a time asks whether it is back.
    #[must_use]
    pub fn rest(mut self, time: Duration) -> Self {
        self.limit.health.rest(time.min(Duration::from_secs(86400)));
        self
    }

    /// Sets the TLS settings for `rediss://`. The default is `ring`, TLS 1.2 and 1.3, and the roots of the
    /// platform, or those of Mozilla where the platform has none.
    #[must_use]
    pub fn tls(mut self, config: ClientConfig) -> Self {
        self.limit.store.tls(config);
        self
    }

    /// Sets who looks up the host of the URL. The default is the operating system.
    ///
    /// Of several addresses each is tried: the next one when the one before fails, or beside it when that does
    /// not answer. One that failed comes last for a minute.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.limit.store.resolver(Arc::new(resolver));
        self
    }

    /// Tells whether Redis is lost, as far as is known, so that this process keeps to its share.
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
