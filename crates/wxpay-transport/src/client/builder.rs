//! The settings of a client.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderValue;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::Semaphore;
use wxpay_auth::{
    Clock, Identity, NonceSource, Scheme, Signer, SystemClock, SystemNonce, Verifier,
};

use crate::call::Calls;
use crate::call::attempt::SignedAttempts;
use crate::call::concurrency::Gate;
use crate::call::timeouts::Timeouts;
use crate::client::{Client, Inner};
use crate::connection::base_url::BaseUrl;
use crate::connection::connector::{Connector, Patience};
use crate::connection::dns::lookup::Lookup;
use crate::connection::dns::resolve::Resolve;
use crate::connection::pool::Pool;
use crate::connection::proxy::Proxy;
use crate::connection::reuse::ConnectionReuse;
use crate::connection::spares::Spares;
use crate::connection::tls;
use crate::domains::breaker::Breaker;
use crate::domains::domain::Domain;
use crate::domains::failover::Failover;
use crate::domains::router::Domains;
use crate::error::{ConfigError, Error};
use crate::observe::audit::Audit;
use crate::rate_limit::RateLimiter;
use crate::rate_limit::in_process::InProcessRateLimiter;
use crate::retry::budget::RetryBudget;
use crate::retry::policy::{Backoff, RetryPolicy};

/// Sets up a [`Client`]; see [`Client::builder`].
pub struct ClientBuilder<S, V> {
    identity: Identity,
    signer: S,
    verifier: V,
    /// `None` is the main domain, with the standby domain to move to.
    base_url: Option<BaseUrl>,
    standby: Standby,
    resolver: Option<Arc<dyn Resolve>>,
    retry_policy: Arc<dyn RetryPolicy>,
    retry_budget: RetryBudget,
    rate_limiter: Option<Arc<dyn RateLimiter>>,
    max_concurrent_calls: usize,
    max_queued_calls: usize,
    audit: Option<Arc<dyn Audit>>,
    proxy: Proxy,
    tls: Tls,
    connect_timeout: Duration,
    /// `None` is the default, which a shorter call caps.
    attempt_timeout: Option<Duration>,
    call_timeout: Duration,
    keep_idle: Duration,
    reuse: ConnectionReuse,
    max_answer_bytes: usize,
    user_agent: Option<String>,
    clock: Arc<dyn Clock>,
    nonces: Arc<dyn NonceSource>,
}

/// How TLS is spoken.
enum Tls {
    /// With the roots of the platform.
    Platform,
    /// With these roots.
    Roots(Arc<RootCertStore>),
    /// As the application says.
    Given(Box<ClientConfig>),
}

/// Where calls go when the main domain fails.
#[derive(Debug)]
enum Standby {
    /// To WeChat Pay's own standby domain, where the main one is WeChat Pay's own as well.
    Default,
    None,
    Given(Failover),
}

/// How long an attempt may take, where nothing else was said.
const DEFAULT_ATTEMPT: Duration = Duration::from_secs(15);

/// How many connections are kept at least, where so many calls ran.
const MOST_KEPT: usize = 64;

/// When WeChat Pay closes an idle connection.
const SERVER_KEEPS_IDLE: Duration = Duration::from_secs(8);

impl<S, V> ClientBuilder<S, V> {
    fn timeouts(&self) -> Timeouts {
        let call = self.call_timeout;
        let attempt = self.attempt_timeout.unwrap_or(DEFAULT_ATTEMPT);
        // A time of zero is to be refused, and not made of another one.
        let half = (call / 2).max(Duration::from_nanos(1));
        Timeouts { connect: self.connect_timeout.min(half), attempt, call }
    }
}

impl<S: Signer, V: Verifier> ClientBuilder<S, V> {
    pub(crate) fn new(identity: Identity, signer: S, verifier: V) -> Self {
        Self {
            identity,
            signer,
            verifier,
            base_url: None,
            standby: Standby::Default,
            resolver: None,
            retry_policy: Arc::new(Backoff::new()),
            retry_budget: RetryBudget::default(),
            rate_limiter: None,
            max_concurrent_calls: 256,
            max_queued_calls: 1024,
            audit: None,
            proxy: Proxy::default(),
            tls: Tls::Platform,
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: None,
            call_timeout: Duration::from_secs(30),
            keep_idle: Duration::from_secs(7),
            reuse: ConnectionReuse::default(),
            max_answer_bytes: 1 << 20,
            user_agent: None,
            clock: Arc::new(SystemClock),
            nonces: Arc::new(SystemNonce::new()),
        }
    }

    /// Sets where requests go. The default is [`BaseUrl::MAIN`], with [`BaseUrl::STANDBY`] to move to
    /// when it fails; another one has no standby domain until [`failover`](Self::failover) sets it.
    #[must_use]
    pub fn base_url(mut self, base_url: BaseUrl) -> Self {
        self.base_url = Some(base_url);
        self
    }

    /// Sets when calls go to a standby domain, and to which.
    #[must_use]
    pub fn failover(mut self, failover: Failover) -> Self {
        self.standby = Standby::Given(failover);
        self
    }

    /// Sends everything to one domain, whether it works or not.
    #[must_use]
    pub fn without_failover(mut self) -> Self {
        self.standby = Standby::None;
        self
    }

    /// Sets when a call is tried again. The default is [`Backoff::new`]; [`NoRetry`](crate::NoRetry)
    /// does so never.
    #[must_use]
    pub fn retry(mut self, policy: impl RetryPolicy + 'static) -> Self {
        self.retry_policy = Arc::new(policy);
        self
    }

    /// Sets how many further attempts all calls together may take. The default is
    /// [`RetryBudget::default`].
    #[must_use]
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.retry_budget = budget;
        self
    }

    /// Sets who keeps requests below the limits of their interfaces. The default is an
    /// [`InProcessRateLimiter`] of this client's own; give several clients of one `mchid` the same one.
    #[must_use]
    pub fn rate_limiter(mut self, limiter: impl RateLimiter + 'static) -> Self {
        self.rate_limiter = Some(Arc::new(limiter));
        self
    }

    /// Sets how many calls run at the same time: 256 by default. Others wait.
    #[must_use]
    pub fn max_concurrent_calls(mut self, calls: usize) -> Self {
        self.max_concurrent_calls = calls;
        self
    }

    /// Sets how many calls may wait until others have ended: 1024 by default. Those beyond are refused
    /// with [`Error::Overload`].
    #[must_use]
    pub fn max_queued_calls(mut self, calls: usize) -> Self {
        self.max_queued_calls = calls;
        self
    }

    /// Sets who gets a record of each signed request. By default nobody.
    #[must_use]
    pub fn audit(mut self, audit: impl Audit + 'static) -> Self {
        self.audit = Some(Arc::new(audit));
        self
    }

    /// Sets who looks up host names. The default is the operating system.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// Sets the proxy. The default is [`Proxy::from_env`].
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = proxy;
        self
    }

    /// Sets the TLS settings: roots of one's own, a client certificate, another provider. The
    /// protocol is set to HTTP/1.1, and early data are turned off.
    ///
    /// The default is `ring`, TLS 1.2 and 1.3, and the roots of the platform, or those of Mozilla
    /// where the platform has none.
    #[must_use]
    pub fn tls(mut self, config: ClientConfig) -> Self {
        self.tls = Tls::Given(Box::new(config));
        self
    }

    /// Sets whom TLS trusts, in place of the roots of the platform, and leaves all other settings as they
    /// are: a gateway with an authority of its own, say. It takes the place of [`tls`](Self::tls).
    #[must_use]
    pub fn root_certificates(mut self, roots: RootCertStore) -> Self {
        self.tls = Tls::Roots(Arc::new(roots));
        self
    }

    /// Sets how long a connection may take to come about, with name, proxy and TLS: 5 s by default, and half
    /// of the time of the call at most, so that there is time to try the other domain. Where a name has several
    /// addresses, they share it: each is tried beside those that do not answer.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long one attempt may take, connecting and signing included: 15 s by default, or what the call
    /// has where that is less. More than the call has is refused.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// Sets how long a whole call may take: 30 s by default.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Sets how long idle connections are kept: 7 s by default, and always less than the 8 s after
    /// which WeChat Pay closes them.
    #[must_use]
    pub fn keep_idle(mut self, keep: Duration) -> Self {
        self.keep_idle = keep;
        self
    }

    /// Sets which calls are sent on a connection that has carried another one: by default queries that
    /// recognise their answer.
    #[must_use]
    pub fn connection_reuse(mut self, reuse: ConnectionReuse) -> Self {
        self.reuse = reuse;
        self
    }

    /// Sets how many bytes the body of an answer may have: 1 MiB by default. Its head may have 64 KiB and 100
    /// headers.
    #[must_use]
    pub fn max_answer_bytes(mut self, limit: usize) -> Self {
        self.max_answer_bytes = limit;
        self
    }

    /// Puts the application's name and version in front of the `User-Agent`: `my-shop/1.2`.
    #[must_use]
    pub fn user_agent(mut self, application: impl Into<String>) -> Self {
        self.user_agent = Some(application.into());
        self
    }

    /// Sets the clock. The default is the system's.
    ///
    /// A panic in it is caught and logged once something was sent: what comes back is verified by the time
    /// of the signature. Before the first attempt has sent anything, it passes on to the caller.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the source of nonces. The default draws from the system's random numbers.
    ///
    /// A panic in it passes on to the caller in the first attempt of a call, when nothing was sent. Later it is
    /// caught and logged, and the call ends as the attempt before ended.
    #[must_use]
    pub fn nonce_source(mut self, nonces: impl NonceSource + 'static) -> Self {
        self.nonces = Arc::new(nonces);
        self
    }

    /// Makes the client. It opens no connection yet.
    ///
    /// # Errors
    /// [`Error::Config`], which names the setting that cannot be.
    pub fn build(self) -> Result<Client<S, V>, Error> {
        let timeouts = self.timeouts();
        let Timeouts { connect, attempt, call } = timeouts;
        for (which, timeout) in [("connect", connect), ("attempt", attempt), ("call", call)] {
            if timeout.is_zero() {
                return Err(ConfigError::ZeroTimeout { which }.into());
            }
        }
        if attempt > call && self.attempt_timeout.is_some() {
            return Err(ConfigError::AttemptLongerThanCall { attempt, call }.into());
        }
        if self.keep_idle >= SERVER_KEEPS_IDLE {
            return Err(ConfigError::IdleTooLong.into());
        }
        if self.max_answer_bytes == 0 {
            return Err(ConfigError::ZeroAnswer.into());
        }
        if !(1..=Semaphore::MAX_PERMITS).contains(&self.max_concurrent_calls) {
            return Err(ConfigError::Concurrency.into());
        }
        if Scheme::of(&self.identity, self.signer.algorithm()).is_none() {
            return Err(ConfigError::AuthorizationScheme.into());
        }
        let domains = self.domains(timeouts)?;
        let rate_limiter =
            self.rate_limiter.unwrap_or_else(|| Arc::new(InProcessRateLimiter::new()));
        Ok(Client::from_inner(Inner {
            calls: Calls {
                domains,
                gate: Gate::new(self.max_concurrent_calls, self.max_queued_calls),
                rate_limiter,
                retry_policy: self.retry_policy,
                retry_budget: self.retry_budget,
                timeouts,
            },
            attempts: SignedAttempts {
                audit: self.audit,
                user_agent: user_agent(self.user_agent.as_deref())?,
                identity: self.identity,
                signer: self.signer,
                verifier: self.verifier,
                reuse: self.reuse,
                max_answer_bytes: self.max_answer_bytes,
                clock: self.clock,
                nonces: self.nonces,
            },
        }))
    }

    fn domains(&self, timeouts: Timeouts) -> Result<Domains, ConfigError> {
        let own = BaseUrl::new(BaseUrl::MAIN)?;
        let main = self.base_url.clone().unwrap_or_else(|| own.clone());
        let failover = match &self.standby {
            Standby::Given(failover) => Some(failover.clone()),
            Standby::Default if main == own => Some(Failover::to(BaseUrl::new(BaseUrl::STANDBY)?)),
            Standby::Default | Standby::None => None,
        };
        let Some(failover) = failover else {
            let tls = self.tls_config(&[&main])?;
            return Ok(Domains::new(
                self.domain(main, &tls, Breaker::idle(), timeouts)?,
                None,
                None,
            ));
        };
        failover.check()?;
        if failover.standby == main {
            return Err(ConfigError::SameDomain);
        }
        let tls = self.tls_config(&[&main, &failover.standby])?;
        let breaker = || Breaker::new(failover.breaker);
        let standby = self.domain(failover.standby.clone(), &tls, breaker(), timeouts)?;
        let main = self.domain(main, &tls, breaker(), timeouts)?;
        Ok(Domains::new(main, Some(standby), failover.sample_one_in))
    }

    fn domain(
        &self,
        base_url: BaseUrl,
        tls: &Arc<ClientConfig>,
        breaker: Breaker,
        timeouts: Timeouts,
    ) -> Result<Domain, ConfigError> {
        let (proxy, tls) = (self.proxy.for_origin(&base_url)?, Arc::clone(tls));
        let lookup = match &self.resolver {
            _ if base_url.is_loopback() && !base_url.is_https() => Lookup::Loopback,
            Some(resolver) => Lookup::Given(Arc::clone(resolver)),
            None => Lookup::System(Arc::default()),
        };
        let Timeouts { connect, attempt, .. } = timeouts;
        let patience = Patience { all: connect, divided: connect.min(attempt) };
        let host = HeaderValue::from_str(base_url.authority().as_str());
        let name: Arc<str> = base_url.authority().as_str().into();
        let connector = Arc::new(Connector::new(&base_url, proxy, tls, lookup, patience)?);
        let opened = (Arc::clone(&name), Arc::clone(&connector));
        Ok(Domain {
            spares: Spares::new(opened.0, opened.1, self.keep_idle),
            connector,
            host: host.map_err(|_| ConfigError::MalformedUrl)?,
            name,
            kept: Pool::new(self.keep_idle, self.max_concurrent_calls.max(MOST_KEPT)),
            breaker: Mutex::new(breaker),
            base_url,
        })
    }

    /// Returns what all connections share. Reading the roots takes time, so they are read only where TLS
    /// is spoken.
    fn tls_config(&self, origins: &[&BaseUrl]) -> Result<Arc<ClientConfig>, ConfigError> {
        match &self.tls {
            Tls::Given(config) => return Ok(tls::adapted(ClientConfig::clone(config))),
            Tls::Roots(roots) => return tls::default_config(Arc::clone(roots)),
            Tls::Platform => {}
        }
        let mut is_spoken = false;
        for origin in origins {
            let to_proxy = self.proxy.for_origin(origin)?.is_some_and(|proxy| proxy.is_https);
            is_spoken |= origin.is_https() || to_proxy;
        }
        let roots = if is_spoken { tls::shared_roots() } else { Arc::new(RootCertStore::empty()) };
        tls::default_config(roots)
    }
}

fn user_agent(application: Option<&str>) -> Result<HeaderValue, ConfigError> {
    const OURS: &str = concat!("wxpay-rust/", env!("CARGO_PKG_VERSION"));
    let Some(application) = application else { return Ok(HeaderValue::from_static(OURS)) };
    let visible = |b: u8| b.is_ascii_graphic() || b == b' ';
    if application.trim().is_empty() || !application.bytes().all(visible) {
        return Err(ConfigError::UserAgent);
    }
    HeaderValue::from_str(&format!("{} {OURS}", application.trim()))
        .map_err(|_| ConfigError::UserAgent)
}

impl<S: fmt::Debug, V: fmt::Debug> fmt::Debug for ClientBuilder<S, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("identity", &self.identity)
            .field("signer", &self.signer)
            .field("verifier", &self.verifier)
            .field("base_url", &self.base_url)
            .field("standby", &self.standby)
            .field("retry_policy", &self.retry_policy)
            .field("proxy", &self.proxy)
            .field("timeouts", &self.timeouts())
            .finish_non_exhaustive()
    }
}
