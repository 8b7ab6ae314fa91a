//! The settings of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use rustls::ClientConfig;
use wxpay_auth::{
    Clock, Identity, NonceSource, Scheme, Signer, SystemClock, SystemNonce, Verifier,
};

use crate::base_url::BaseUrl;
use crate::client::{Client, Inner};
use crate::connector::Connector;
use crate::error::{ConfigError, Error};
use crate::pool::Pool;
use crate::proxy::Proxy;
use crate::tls;

/// Sets up a [`Client`]; see [`Client::builder`].
pub struct ClientBuilder<S, V> {
    identity: Identity,
    signer: S,
    verifier: V,
    base_url: Result<BaseUrl, ConfigError>,
    proxy: Proxy,
    tls: Option<ClientConfig>,
    pub(crate) timeouts: Timeouts,
    keep_idle: Duration,
    max_answer_bytes: usize,
    user_agent: Option<String>,
    clock: Arc<dyn Clock>,
    nonces: Arc<dyn NonceSource>,
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
            base_url: BaseUrl::new(BaseUrl::MAIN),
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

    /// Sets where requests go. The default is [`BaseUrl::MAIN`].
    #[must_use]
    pub fn base_url(mut self, base_url: BaseUrl) -> Self {
        self.base_url = Ok(base_url);
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

    /// Sets how long a connection may take to come about, with name, proxy and TLS: 5 s by default.
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

    /// Sets how many bytes the body of an answer may have: 1 MiB by default.
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
        let base_url = self.base_url?;
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
        if Scheme::of(&self.identity, self.signer.algorithm()).is_none() {
            return Err(ConfigError::AuthorizationScheme.into());
        }
        let destination = base_url.to_uri()?;
        let proxy = self.proxy.intercept(&base_url, &destination);
        let tls = if let Some(config) = self.tls {
            tls::adapted(config)
        } else {
            let to_proxy = proxy.as_ref().is_some_and(|p| p.uri().scheme_str() == Some("https"));
            tls::default_config(base_url.is_https() || to_proxy)?
        };
        let host = HeaderValue::from_str(base_url.authority().as_str());
        Ok(Client::from_inner(Inner {
            connector: Connector::new(&base_url, destination, proxy, tls)?,
            host: host.map_err(|_| ConfigError::MalformedUrl)?,
            user_agent: user_agent(self.user_agent.as_deref())?,
            identity: self.identity,
            signer: self.signer,
            verifier: self.verifier,
            base_url,
            pool: Pool::new(self.keep_idle),
            timeouts: self.timeouts,
            max_answer_bytes: self.max_answer_bytes,
            clock: self.clock,
            nonces: self.nonces,
        }))
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
            .field("proxy", &self.proxy)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}
