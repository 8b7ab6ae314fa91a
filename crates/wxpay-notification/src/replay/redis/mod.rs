//! Ids in Redis or Valkey.

mod check;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use wxpay_transport::internal::{RedisFailure, RedisScript, RedisServer};
use wxpay_transport::{ConfigError, Resolve, Tls};

use crate::replay::{Begun, Claim, ReplayStore, ReplayStoreError, StoreFinding};

/// How long to wait for the response to a query that no response to WeChat Pay waits for. One that is given up may never be
/// sent.
const RECORDING: Duration = Duration::from_secs(5);

/// Keeps the ids of notifications on Redis (5 or later) or Valkey, for several processes, and over their restarts.
///
/// While the server cannot be reached, does not respond in time, or responds with an error (`OOM`, `LOADING`,
/// `READONLY`), nothing is handed over, and WeChat Pay sends the notifications again. While the server keeps its memory,
/// no notification is handed over twice whose handler has returned and was recorded. A process that dies or is stopped
/// after the effect of its handler and before the record, a request that is cancelled then, and a server that forgets
/// (eviction, a restart without an append-only file, a crash with `appendfsync everysec`, a fail-over to a replica) make
/// that possible; [`check`](ReplayStore::check) tells of such settings of the server. Then the application's own check of ids is the last one: record the id in the transaction in which it
/// records the event.
///
/// The first query opens the connection in the background; dropping the store closes it. Keys are named
/// `wxpay:notification:NAMESPACE:ID`, and expire. There is one connection to one server: for a cluster, use the address
/// of its proxy. The user needs the commands `EVALSHA`, `EVAL`, `SCRIPT LOAD`, `GET`, `SET` and `DEL`, and for the check
/// `INFO` and `CONFIG GET`.
///
/// # Example
/// ```no_run
/// use wxpay_notification::{RedisReplayStore, ReplayStore};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = RedisReplayStore::new(&std::env::var("REDIS_URL")?)?.namespace("1900007291");
/// for finding in store.check().await? {
///     eprintln!("{finding}: {}", finding.hint());
/// }
/// # Ok(())
/// # }
/// ```
pub struct RedisReplayStore {
    server: RedisServer,
    scripts: Scripts,
    namespace: String,
    response_timeout: Duration,
}

#[derive(Debug)]
struct Scripts {
    begin: RedisScript,
    done: RedisScript,
    release: RedisScript,
}

impl RedisReplayStore {
    /// Creates a store. Does not connect yet.
    ///
    /// The URL is `redis://host`, or with all parts `rediss://user:password@host:6379/0`; `rediss` is Redis over TLS.
    /// Special characters in user and password are percent-encoded.
    ///
    /// # Errors
    /// [`ConfigError::RedisUrl`] if the URL is invalid; the error does not repeat it.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        let scripts = Scripts {
            begin: RedisScript::new(include_str!("begin.lua")),
            done: RedisScript::new(include_str!("done.lua")),
            release: RedisScript::new(include_str!("release.lua")),
        };
        let (namespace, response_timeout) = (String::new(), Duration::from_secs(1));
        Ok(Self { server: RedisServer::new(url)?, scripts, namespace, response_timeout })
    }

    /// Sets what tells these ids from those of other accounts on the same server, such as the `mchid`. The default is
    /// empty. It is not documented that ids differ between accounts.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets how long to wait for the response of the server before a notification is handed over. The default is 1 s, the minimum 1 ms, the maximum 2 s.
    #[must_use]
    pub fn response_timeout(mut self, time: Duration) -> Self {
        self.response_timeout = time.clamp(Duration::from_millis(1), Duration::from_secs(2));
        self
    }

    /// Sets the TLS settings for `rediss://`, as
    /// [`RedisRateLimiter::tls`](wxpay_transport::RedisRateLimiter::tls) does.
    ///
    /// # Errors
    /// [`ConfigError::Tls`] if they cannot be used.
    pub fn tls(mut self, tls: impl Into<Tls>) -> Result<Self, ConfigError> {
        self.server.tls(tls)?;
        Ok(self)
    }

    /// Sets the resolver of the host name in the URL. The default is the operating system.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.server.resolver(resolver);
        self
    }

    /// Runs a script, once more on a new connection if the connection was lost: each may be repeated.
    async fn run(
        &self,
        script: &RedisScript,
        claim: &Claim,
        lasts: Option<Duration>,
        time: Duration,
    ) -> Result<i64, ReplayStoreError> {
        let key = format!("wxpay:notification:{}:{}", self.namespace, claim.id());
        let lasts = lasts.map(|lasts| millis(lasts).to_string());
        let arguments: Vec<&str> = std::iter::once(claim.token()).chain(lasts.as_deref()).collect();
        let once = || self.server.run(script, &key, &arguments, time);
        match once().await {
            Err(failure) if failure.is_connection() => once().await,
            ended => ended,
        }
        .map_err(|failure| self.lost(&failure))
    }

    fn lost(&self, failure: &RedisFailure) -> ReplayStoreError {
        ReplayStoreError::unavailable(format!("{}: {failure}", self.server.address()))
    }

    fn impossible(&self, number: i64) -> ReplayStoreError {
        let address = self.server.address();
        ReplayStoreError::unavailable(format!("{address}: the response {number} is impossible"))
    }
}

/// Redis counts milliseconds, and refuses 0.
fn millis(duration: Duration) -> u64 {
    const LONGEST: u64 = 366 * 86_400_000;
    u64::try_from(duration.as_millis()).unwrap_or(LONGEST).clamp(1, LONGEST)
}

#[async_trait]
impl ReplayStore for RedisReplayStore {
    async fn begin(&self, claim: &Claim, hold: Duration) -> Result<Begun, ReplayStoreError> {
        match self.run(&self.scripts.begin, claim, Some(hold), self.response_timeout).await? {
            0 => Ok(Begun::First),
            1 => Ok(Begun::InProgress),
            2 => Ok(Begun::Done),
            3 => {
                let (address, namespace) = (self.server.address(), &self.namespace);
                Err(ReplayStoreError::unavailable(format!(
                    "{address}: a key of wxpay:notification:{namespace} has a value of another program"
                )))
            }
            other => Err(self.impossible(other)),
        }
    }

    async fn done(&self, claim: &Claim, keep: Duration) -> Result<bool, ReplayStoreError> {
        Ok(self.run(&self.scripts.done, claim, Some(keep), RECORDING).await? == 1)
    }

    async fn release(&self, claim: &Claim) -> Result<(), ReplayStoreError> {
        self.run(&self.scripts.release, claim, None, RECORDING).await.map(|_| ())
    }

    async fn check(&self) -> Result<Vec<StoreFinding>, ReplayStoreError> {
        check::findings(self).await
    }
}

impl fmt::Debug for RedisReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisReplayStore")
            .field("server", &self.server)
            .field("namespace", &self.namespace)
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        let store = RedisReplayStore::new("rediss://user:pa55word@h/0").unwrap();
        assert!(!format!("{store:?}").contains("pa55"));
        let error = RedisReplayStore::new("redis://:pa55#word@h").unwrap_err();
        assert!(!format!("{error:?}").contains("pa55"));
    }

    #[test]
    fn times_are_those_that_redis_takes() {
        for (duration, expected) in [
            (Duration::ZERO, 1),
            (Duration::from_millis(1500), 1500),
            (Duration::MAX, 366 * 86_400_000),
        ] {
            assert_eq!(millis(duration), expected);
        }
    }
}
