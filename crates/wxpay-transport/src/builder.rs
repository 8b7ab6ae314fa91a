//! The settings of a client.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderValue;
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use wxpay_auth::{
    Clock, Identity, NonceSource, Scheme, Signer, SystemClock, SystemNonce, Verifier,
};

use crate::audit::Audit;
use crate::base_url::BaseUrl;
use crate::breaker::Breaker;
use crate::call::Calls;
use crate::client::{Client, Inner};
use crate::connector::Connector;
use crate::domain::Domain;
use crate::error::{ConfigError, Error};
use crate::failover::Failover;
use crate::gate::Gate;
use crate::in_process_rate_limiter::InProcessRateLimiter;
use crate::pool::Pool;
use crate::proxy::Proxy;
use crate::rate_limit::RateLimiter;
use crate::resolver::Resolve;
use crate::retry::{Backoff, RetryPolicy};
use crate::retry_budget::RetryBudget;
use crate::route::Domains;
use crate::tls;

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
    tls: Option<ClientConfig>,
    pub(crate) timeouts: Timeouts,
    keep_idle: Duration,
    max_answer_bytes: usize,
    user_agent: Option<String>,
    clock: Arc<dyn Clock>,
    nonces: Arc<dyn NonceSource>,
}

/// Where calls go when the main domain fails.
#[derive(Debug)]
enum Standby {
    /// To WeChat Pay's own standby domain, where the main one is WeChat Pay's own as well.
    Default,
    None,
    Given(Failover),
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) attempt: Duration,
    pub(crate) call: Duration,
}

/// When WeChat Pay closes an idle connection.
const SERVER_KEEPS_IDLE: Duration = Duration::from_secs(8);

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
            tls: None,
            timeouts: Timeouts {
                connect: Duration::from_secs(5),
                attempt: Duration::from_secs(15),
                call: Duration::from_secs(30),
            },
            keep_idle: Duration::from_secs(7),
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
        self.tls = Some(config);
        self
    }

    /// Sets how long a connection may take to come about, with name, proxy and TLS: 5 s by default, and half
    /// of the time of the call at most, so that there is time to try the other domain.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.connect = timeout;
        self
    }

    /// Sets how long one attempt may take, connecting and signing included: 15 s by default.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.attempt = timeout;
        self
    }

    /// Sets how long a whole call may take: 30 s by default.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.call = timeout;
        self
    }

    /// Sets how long idle connections are kept: 7 s by default, and always less than the 8 s after
    /// which WeChat Pay closes them.
    #[must_use]
    pub fn keep_idle(mut self, keep: Duration) -> Self {
        self.keep_idle = keep;
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
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the source of nonces. The default draws from the system's random numbers.
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
        let Timeouts { connect, attempt, call } = self.timeouts;
        for (which, timeout) in [("connect", connect), ("attempt", attempt), ("call", call)] {
            if timeout.is_zero() {
                return Err(ConfigError::ZeroTimeout { which }.into());
            }
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
        let domains = self.domains()?;
        let rate_limiter =
            self.rate_limiter.unwrap_or_else(|| Arc::new(InProcessRateLimiter::new()));
        Ok(Client::from_inner(Inner {
            calls: Calls {
                domains,
                gate: Gate::new(self.max_concurrent_calls, self.max_queued_calls),
                rate_limiter,
                retry_policy: self.retry_policy,
                retry_budget: self.retry_budget,
                timeouts: Timeouts { connect: connect.min(call / 2), attempt, call },
            },
            audit: self.audit,
            user_agent: user_agent(self.user_agent.as_deref())?,
            identity: self.identity,
            signer: self.signer,
            verifier: self.verifier,
            max_answer_bytes: self.max_answer_bytes,
            clock: self.clock,
            nonces: self.nonces,
        }))
    }

    fn domains(&self) -> Result<Domains, ConfigError> {
        let own = BaseUrl::new(BaseUrl::MAIN)?;
        let main = self.base_url.clone().unwrap_or_else(|| own.clone());
        let failover = match &self.standby {
            Standby::Given(failover) => Some(failover.clone()),
            Standby::Default if main == own => Some(Failover::to(BaseUrl::new(BaseUrl::STANDBY)?)),
            Standby::Default | Standby::None => None,
        };
        let Some(failover) = failover else {
            let tls = self.tls_config(&[&main])?;
            return Ok(Domains::new(self.domain(main, &tls, Breaker::idle())?, None, None));
        };
        failover.check()?;
        if failover.standby == main {
            return Err(ConfigError::SameDomain);
        }
        let tls = self.tls_config(&[&main, &failover.standby])?;
        let breaker = || Breaker::new(failover.breaker);
        let standby = self.domain(failover.standby.clone(), &tls, breaker())?;
        let main = self.domain(main, &tls, breaker())?;
        Ok(Domains::new(main, Some(standby), failover.sample_one_in))
    }

    fn domain(
        &self,
        base_url: BaseUrl,
        tls: &Arc<ClientConfig>,
        breaker: Breaker,
    ) -> Result<Domain, ConfigError> {
        let destination = base_url.to_uri()?;
        let proxy = self.proxy.intercept(&base_url, &destination);
        let (tls, resolver) = (Arc::clone(tls), self.resolver.clone());
        let host = HeaderValue::from_str(base_url.authority().as_str());
        Ok(Domain {
            connector: Connector::new(&base_url, destination, proxy, tls, resolver)?,
            host: host.map_err(|_| ConfigError::MalformedUrl)?,
            name: base_url.authority().as_str().into(),
            pool: Pool::new(self.keep_idle),
            breaker: Mutex::new(breaker),
            base_url,
        })
    }

    /// Returns what all connections share. Reading the roots takes time, so they are read only where TLS
    /// is spoken.
    fn tls_config(&self, origins: &[&BaseUrl]) -> Result<Arc<ClientConfig>, ConfigError> {
        if let Some(config) = &self.tls {
            return Ok(tls::adapted(config.clone()));
        }
        let mut is_spoken = false;
        for origin in origins {
            let proxy = self.proxy.intercept(origin, &origin.to_uri()?);
            let to_proxy = proxy.is_some_and(|p| p.uri().scheme_str() == Some("https"));
            is_spoken |= origin.is_https() || to_proxy;
        }
        tls::default_config(is_spoken)
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
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}
