//! Leases on Redis or Valkey.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use wxpay_transport::internal::{RedisFailure, RedisScript, RedisServer};
use wxpay_transport::{ConfigError, Resolve, Tls, async_trait};

use super::{Claim, Lease, LeaseError, PlanLeases};
use crate::bulk::outcome::PlanOutcome;
use crate::bulk::plan::BulkPlan;

/// Leases on Redis (7 or later) or Valkey, for several machines that each have the whole list of a job, and a journal of
/// their own.
///
/// Each plan is taken by one machine at a time, as long as one server keeps its memory and its clock; when a machine dies,
/// its plans are free again after the time of a lease. Keys that are lost (a fail-over, an eviction, a restart, a flush)
/// and a clock that jumps may let a second machine in. So each plan is read before it is called: what the first machine
/// has ended is not called again, and what is in flight there is called a second time at most, which ends the same plan.
///
/// What the server does not say clearly is not this machine's: no response in time, `OOM`, `LOADING`, `READONLY`. Set
/// `maxmemory-policy noeviction`. The user needs the commands `SET`, `GET`, `DEL`, `PEXPIRE`, `EVALSHA` and `SCRIPT LOAD`.
///
/// Keys are named `wxpay:bulk:{job}:brand_id:plan_id` (with the braces). Those of settled plans expire after a week: use a
/// new name for the job of another list. Each journal needs an instance of its own, because plans that it holds are its.
///
/// ```no_run
/// use std::time::Duration;
/// use wxpay_marketing::{BulkTermination, DeliveryPlans, RedisPlanLeases};
/// # fn leases<T: wxpay_transport::Transport + 'static>(plans: DeliveryPlans<T>) -> Result<(), Box<dyn std::error::Error>> {
///
/// let leases = RedisPlanLeases::new(&std::env::var("REDIS_URL")?, "1900007291-2026-11")?
///     .lease_time(Duration::from_secs(180));
/// let job = BulkTermination::new(plans).leases(leases);
/// # Ok(())
/// # }
/// ```
pub struct RedisPlanLeases {
    server: RedisServer,
    job: String,
    token: String,
    lease_time: Duration,
    response_timeout: Duration,
    renew: RedisScript,
    release: RedisScript,
    done: RedisScript,
}

/// How long it is known that a plan is settled.
const DONE: Duration = Duration::from_secs(7 * 86_400);
const SETTLED: &str = "done:";

impl RedisPlanLeases {
    /// Creates the leases of a job. All machines of the job give the same name, and other jobs another one. Does not
    /// connect to Redis yet.
    ///
    /// The URL is `redis://host`, or with all parts `rediss://user:password@host:6379/0`; `rediss` is Redis over TLS.
    /// Special characters in user and password are percent-encoded.
    ///
    /// # Errors
    /// [`ConfigError::RedisUrl`] if the URL is invalid; the error does not repeat it.
    pub fn new(url: &str, job: &str) -> Result<Self, ConfigError> {
        // Seeded by the operating system.
        let random = || RandomState::new().hash_one(std::process::id());
        Ok(Self {
            server: RedisServer::new(url)?,
            // A brace would end the part of the key that selects a node of a cluster.
            job: job.replace(['{', '}'], "_"),
            token: format!("held:{:016x}{:016x}", random(), random()),
            lease_time: Duration::from_secs(120),
            response_timeout: Duration::from_secs(1),
            renew: RedisScript::new(include_str!("renew.lua")),
            release: RedisScript::new(include_str!("release.lua")),
            done: RedisScript::new(include_str!("done.lua")),
        })
    }

    /// Sets how long a lease lasts without being renewed. The default is 120 s, the minimum 1 s. It should be longer than a
    /// call takes together with its confirmation.
    #[must_use]
    pub fn lease_time(mut self, time: Duration) -> Self {
        self.lease_time = time.clamp(Duration::from_secs(1), DONE);
        self
    }

    /// Sets how long to wait for a response of Redis. The default is 1 s, the minimum 1 ms, the maximum 10 s.
    #[must_use]
    pub fn response_timeout(mut self, time: Duration) -> Self {
        self.response_timeout = time.clamp(Duration::from_millis(1), Duration::from_secs(10));
        self
    }

    /// Sets the TLS settings for `rediss://`, as [`RedisRateLimiter::tls`](wxpay_transport::RedisRateLimiter::tls) does.
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

    fn key(&self, plan: &BulkPlan) -> String {
        format!("wxpay:bulk:{{{}}}:{}:{}", self.job, plan.brand_id(), plan.plan_id())
    }

    async fn run(
        &self,
        script: &RedisScript,
        plan: &BulkPlan,
        more: &[&str],
    ) -> Result<bool, LeaseError> {
        let arguments: Vec<_> = std::iter::once(&*self.token).chain(more.iter().copied()).collect();
        let key = self.key(plan);
        let run = self.server.run(script, &key, &arguments, self.response_timeout);
        run.await.map(|number| number == 1).map_err(|why| self.away(&why))
    }

    fn away(&self, why: &RedisFailure) -> LeaseError {
        LeaseError::new(format!("{}: {why}", self.server.address()))
    }
}

/// Returns a time in the unit of the commands.
fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}

#[async_trait]
impl PlanLeases for RedisPlanLeases {
    async fn claim(&self, plan: &BulkPlan) -> Result<Claim, LeaseError> {
        let (asked, key, time) = (Instant::now(), self.key(plan), millis(self.lease_time));
        let command = ["SET", &key, &self.token, "NX", "PX", &time, "GET"];
        let before = self.server.command::<Option<String>>(&command, self.response_timeout).await;
        match before.map_err(|why| self.away(&why))? {
            None => Ok(Claim::Mine(Lease::new(asked, self.lease_time))),
            // An earlier request whose response was late. Its time runs since then.
            Some(before) if before == self.token => {
                let renewed = self.renew(plan, &Lease::new(asked, self.lease_time)).await?;
                Ok(renewed.map_or(Claim::Taken, Claim::Mine))
            }
            Some(before) => Ok(match before.strip_prefix(SETTLED) {
                Some(said) => Claim::Done(wxpay_auth::foreign_text(said, 32, &[])),
                None => Claim::Taken,
            }),
        }
    }

    async fn renew(&self, plan: &BulkPlan, _: &Lease) -> Result<Option<Lease>, LeaseError> {
        let asked = Instant::now();
        let is_renewed = self.run(&self.renew, plan, &[&millis(self.lease_time)]).await?;
        Ok(is_renewed.then(|| Lease::new(asked, self.lease_time)))
    }

    async fn release(&self, plan: &BulkPlan, _: &Lease) -> Result<(), LeaseError> {
        self.run(&self.release, plan, &[]).await.map(drop)
    }

    async fn done(
        &self,
        plan: &BulkPlan,
        _: &Lease,
        outcome: &PlanOutcome,
    ) -> Result<(), LeaseError> {
        let settled = format!("{SETTLED}{}", outcome.name());
        self.run(&self.done, plan, &[&settled, &millis(DONE)]).await.map(drop)
    }
}

impl fmt::Debug for RedisPlanLeases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPlanLeases")
            .field("server", &self.server.address())
            .field("job", &self.job)
            .field("lease_time", &self.lease_time)
            .field("response_timeout", &self.response_timeout)
            .finish_non_exhaustive()
    }
}
