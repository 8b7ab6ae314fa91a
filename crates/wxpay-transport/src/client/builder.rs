//! The settings of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wxpay_auth::{Clock, Identity, NonceSource, Signer, SystemClock, SystemNonce, Verifier};

#[cfg(doc)]
use crate::Client;
use crate::connection::base_url::BaseUrl;
use crate::connection::dns::resolve::Resolve;
use crate::connection::proxy::Proxy;
use crate::connection::reuse::ConnectionReuse;
use crate::connection::tls::Tls;
use crate::domains::failover::Failover;
#[cfg(doc)]
use crate::error::Error;
use crate::observe::audit::Audit;
use crate::rate_limit::RateLimiter;
#[cfg(doc)]
use crate::rate_limit::in_process::InProcessRateLimiter;
use crate::retry::budget::RetryBudget;
use crate::retry::policy::{Backoff, RetryPolicy};

/// Sets up a [`Client`]; see [`Client::builder`].
pub struct ClientBuilder<S, V> {
    pub(super) identity: Identity,
    pub(super) signer: S,
    pub(super) verifier: V,
    /// `None` is the main domain, with failover to the standby domain.
    pub(super) base_url: Option<BaseUrl>,
    pub(super) standby: Standby,
    /// Further domains, from which only files are downloaded.
    pub(super) download_domains: Vec<BaseUrl>,
    pub(super) resolver: Option<Arc<dyn Resolve>>,
    pub(super) retry_policy: Arc<dyn RetryPolicy>,
    pub(super) retry_budget: RetryBudget,
    pub(super) rate_limiter: Option<Arc<dyn RateLimiter>>,
    pub(super) max_concurrent_calls: usize,
    pub(super) max_queued_calls: usize,
    pub(super) audit: Option<Arc<dyn Audit>>,
    pub(super) proxy: Proxy,
    pub(super) tls: Tls,
    pub(super) connect_timeout: Duration,
    /// `None` is the default, capped by the call timeout.
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) call_timeout: Duration,
    pub(super) keep_idle: Duration,
    pub(super) reuse: ConnectionReuse,
    pub(super) max_response_bytes: usize,
    pub(super) user_agent: Option<String>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) nonces: Arc<dyn NonceSource>,
}

/// Where calls go when the main domain fails.
#[derive(Debug)]
pub(super) enum Standby {
    /// To WeChat Pay's standby domain, if the main domain is WeChat Pay's, too.
    Default,
    None,
    Given(Failover),
}

impl<S: Signer, V: Verifier> ClientBuilder<S, V> {
    pub(crate) fn new(identity: Identity, signer: S, verifier: V) -> Self {
        Self {
            identity,
            signer,
            verifier,
            base_url: None,
            standby: Standby::Default,
            download_domains: Vec::new(),
            resolver: None,
            retry_policy: Arc::new(Backoff::new()),
            retry_budget: RetryBudget::default(),
            rate_limiter: None,
            max_concurrent_calls: 256,
            max_queued_calls: 1024,
            audit: None,
            proxy: Proxy::default(),
            tls: Tls::platform(),
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: None,
            call_timeout: Duration::from_secs(30),
            keep_idle: Duration::from_secs(7),
            reuse: ConnectionReuse::default(),
            max_response_bytes: 1 << 20,
            user_agent: None,
            clock: Arc::new(SystemClock),
            nonces: Arc::new(SystemNonce::new()),
        }
    }

    /// Sets where requests go. The default is [`BaseUrl::MAIN`], with failover to [`BaseUrl::STANDBY`].
    /// Any other URL has no standby domain unless [`failover`](Self::failover) sets one.
    #[must_use]
    pub fn base_url(mut self, base_url: BaseUrl) -> Self {
        self.base_url = Some(base_url);
        self
    }

    /// Sets the standby domain, and when calls move to it.
    #[must_use]
    pub fn failover(mut self, failover: Failover) -> Self {
        self.standby = Standby::Given(failover);
        self
    }

    /// Disables failover: sends everything to one domain.
    #[must_use]
    pub fn without_failover(mut self) -> Self {
        self.standby = Standby::None;
        self
    }

    /// Allows downloads from a further domain, beside the main and the standby domain. Nothing else is sent there.
    ///
    /// A [`download`](Client::download) sends a signed request to the host that its URL names, so only hosts of
    /// WeChat Pay should be allowed.
    #[must_use]
    pub fn download_domain(mut self, base_url: BaseUrl) -> Self {
        self.download_domains.push(base_url);
        self
    }

    /// Sets when a call is retried. The default is [`Backoff::new`]; [`NoRetry`](crate::NoRetry) never
    /// retries.
    #[must_use]
    pub fn retry(mut self, policy: impl RetryPolicy + 'static) -> Self {
        self.retry_policy = Arc::new(policy);
        self
    }

    /// Sets how many retries all calls together may make. The default is [`RetryBudget::default`].
    #[must_use]
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.retry_budget = budget;
        self
    }

    /// Sets the limiter that keeps requests below the rate limits of their interfaces. The default is an
    /// [`InProcessRateLimiter`] for this client; share one among several clients of the same `mchid`.
    #[must_use]
    pub fn rate_limiter(mut self, limiter: impl RateLimiter + 'static) -> Self {
        self.rate_limiter = Some(Arc::new(limiter));
        self
    }

    /// Sets how many calls run at the same time; further calls wait. The default is 256.
    #[must_use]
    pub fn max_concurrent_calls(mut self, calls: usize) -> Self {
        self.max_concurrent_calls = calls;
        self
    }

    /// Sets how many calls may wait for others to end; further calls are refused with
    /// [`Error::Overload`]. The default is 1024.
    #[must_use]
    pub fn max_queued_calls(mut self, calls: usize) -> Self {
        self.max_queued_calls = calls;
        self
    }

    /// Sets the audit that gets a record of each signed request. The default is none.
    #[must_use]
    pub fn audit(mut self, audit: impl Audit + 'static) -> Self {
        self.audit = Some(Arc::new(audit));
        self
    }

    /// Sets the resolver of host names. The default is the operating system.
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

    /// Sets how TLS is spoken, and which roots are trusted. The default is [`Tls::platform`]. Also takes a
    /// `rustls` configuration or root store.
    #[must_use]
    pub fn tls(mut self, tls: impl Into<Tls>) -> Self {
        self.tls = tls.into();
        self
    }

    /// Sets how long opening a connection may take, including name lookup, proxy and TLS: 5 s by default, and at
    /// most half the call timeout, so that there is time to try the other domain. Several addresses of a name
    /// share this time: each is tried in parallel with those that do not respond.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long one attempt may take, including connecting and signing. The default is 15 s, or the
    /// call timeout if that is less. A value above the call timeout is refused.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// Sets how long a whole call may take. The default is 30 s.
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Sets how long idle connections are kept. The default is 7 s; it must be less than the 8 s after
    /// which WeChat Pay closes them.
    #[must_use]
    pub fn keep_idle(mut self, keep: Duration) -> Self {
        self.keep_idle = keep;
        self
    }

    /// Sets which calls may reuse a connection that carried another request. The default is queries that
    /// recognise their response.
    #[must_use]
    pub fn connection_reuse(mut self, reuse: ConnectionReuse) -> Self {
        self.reuse = reuse;
        self
    }

    /// Sets the maximum size of a response body, in bytes. The default is 1 MiB. A response head is limited to
    /// 64 KiB and 100 headers.
    #[must_use]
    pub fn max_response_bytes(mut self, limit: usize) -> Self {
        self.max_response_bytes = limit;
        self
    }

    /// Prepends the application's name and version to the `User-Agent`: `my-shop/1.2`.
    #[must_use]
    pub fn user_agent(mut self, application: impl Into<String>) -> Self {
        self.user_agent = Some(application.into());
        self
    }

    /// Sets the clock. The default is the system's.
    ///
    /// A panic in it is caught and logged once something was sent; the response is then verified with the
    /// time of the signature. Before that, it propagates to the caller.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets the source of nonces. The default is the random number generator of the operating system.
    ///
    /// A panic in it during the first attempt of a call propagates to the caller: nothing was sent. A later
    /// one is caught and logged, and the call ends with the result of the previous attempt.
    #[must_use]
    pub fn nonce_source(mut self, nonces: impl NonceSource + 'static) -> Self {
        self.nonces = Arc::new(nonces);
        self
    }
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
