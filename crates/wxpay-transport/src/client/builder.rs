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
    /// `None` is the main domain, with the standby domain to move to.
    pub(super) base_url: Option<BaseUrl>,
    pub(super) standby: Standby,
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
    /// `None` is the default, which a shorter call caps.
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
    /// To WeChat Pay's own standby domain, where the main one is WeChat Pay's own as well.
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

    /// Sets how TLS is spoken, and whom it trusts: [`Tls::platform`] by default. It takes settings of `rustls`
    /// and a store of roots as well.
    #[must_use]
    pub fn tls(mut self, tls: impl Into<Tls>) -> Self {
        self.tls = tls.into();
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
    /// recognise their response.
    #[must_use]
    pub fn connection_reuse(mut self, reuse: ConnectionReuse) -> Self {
        self.reuse = reuse;
        self
    }

    /// Sets how many bytes the body of a response may have: 1 MiB by default. Its head may have 64 KiB and 100
    /// headers.
    #[must_use]
    pub fn max_response_bytes(mut self, limit: usize) -> Self {
        self.max_response_bytes = limit;
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
