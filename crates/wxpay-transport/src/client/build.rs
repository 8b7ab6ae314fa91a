//! Builds a client from its settings.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderValue;
use rustls::ClientConfig;
use tokio::sync::Semaphore;
use wxpay_auth::{Scheme, Signer, Verifier};

use crate::breaker::{Breaker, BreakerSettings};
use crate::call::Calls;
use crate::call::attempt::SignedAttempts;
use crate::call::concurrency::ConcurrencyLimit;
use crate::call::timeouts::Timeouts;
use crate::client::builder::{ClientBuilder, Standby};
use crate::client::{Client, Inner};
use crate::connection::base_url::BaseUrl;
use crate::connection::connector::{Connector, Patience};
use crate::connection::dns::lookup::Lookup;
use crate::connection::pool::Pool;
use crate::connection::spares::{self, Spares};
use crate::domains::domain::Domain;
use crate::domains::failover::Failover;
use crate::domains::router::Domains;
use crate::error::{ConfigError, Error, TimeoutKind};
use crate::rate_limit::in_process::InProcessRateLimiter;

/// Default timeout of an attempt.
const DEFAULT_ATTEMPT: Duration = Duration::from_secs(15);

/// How late the result of a probe may be.
const PROBE_MARGIN: Duration = Duration::from_secs(1);

/// Minimum capacity of the pool of kept connections.
const MOST_KEPT: usize = 64;

/// Time after which WeChat Pay closes an idle connection.
const SERVER_KEEPS_IDLE: Duration = Duration::from_secs(8);

impl<S, V> ClientBuilder<S, V> {
    pub(super) fn timeouts(&self) -> Timeouts {
        let call = self.call_timeout;
        let attempt = self.attempt_timeout.unwrap_or(DEFAULT_ATTEMPT);
        // A timeout of zero must be refused below, not replaced by another value.
        let half = (call / 2).max(Duration::from_nanos(1));
        Timeouts { connect: self.connect_timeout.min(half), attempt, call }
    }
}

impl<S: Signer, V: Verifier> ClientBuilder<S, V> {
    /// Builds the client. Opens no connection yet.
    ///
    /// # Errors
    /// [`Error::Config`], which names the invalid setting.
    pub fn build(self) -> Result<Client<S, V>, Error> {
        let timeouts = self.timeouts();
        let Timeouts { connect, attempt, call } = timeouts;
        for (which, timeout) in [
            (TimeoutKind::Connect, connect),
            (TimeoutKind::Attempt, attempt),
            (TimeoutKind::Call, call),
        ] {
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
        if self.max_response_bytes == 0 {
            return Err(ConfigError::ZeroResponse.into());
        }
        if !(1..=Semaphore::MAX_PERMITS).contains(&self.max_concurrent_calls) {
            return Err(ConfigError::Concurrency.into());
        }
        if Scheme::of(&self.identity, self.signer.algorithm()).is_none() {
            return Err(ConfigError::AuthorizationScheme.into());
        }
        if let Some(serial_no) = self.signer.next_serial_no()
            && self.verifier.preferred_serial(self.clock.now()) == Some(serial_no.clone().into())
        {
            return Err(ConfigError::OwnSerial { serial_no }.into());
        }
        let domains = self.domains(timeouts)?;
        let rate_limiter =
            self.rate_limiter.unwrap_or_else(|| Arc::new(InProcessRateLimiter::new()));
        Ok(Client::from_inner(Inner {
            calls: Calls {
                domains: Arc::new(domains),
                concurrency: ConcurrencyLimit::new(
                    self.max_concurrent_calls,
                    self.max_queued_calls,
                ),
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
                max_response_bytes: self.max_response_bytes,
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
            let main = self.domain(main, &tls, Breaker::idle(), timeouts)?;
            let downloads = self.downloads(&tls, timeouts)?;
            return Ok(Domains::new(main, None, None).with_downloads(downloads));
        };
        failover.check()?;
        if failover.standby == main {
            return Err(ConfigError::SameDomain);
        }
        let tls = self.tls_config(&[&main, &failover.standby])?;
        // A probe ends with its attempt, if it is polled.
        let probe_for = timeouts.attempt.min(timeouts.call).saturating_add(PROBE_MARGIN);
        let breaker = || Breaker::new(BreakerSettings { probe_for, ..failover.breaker });
        let standby = self.domain(failover.standby.clone(), &tls, breaker(), timeouts)?;
        let main = self.domain(main, &tls, breaker(), timeouts)?;
        let domains = Domains::new(main, Some(standby), failover.sample_one_in);
        Ok(domains.with_downloads(self.downloads(&tls, timeouts)?))
    }

    /// Creates the domains from which only files are downloaded.
    fn downloads(
        &self,
        tls: &Arc<ClientConfig>,
        timeouts: Timeouts,
    ) -> Result<Vec<Domain>, ConfigError> {
        let of = |url: &BaseUrl| self.domain(url.clone(), tls, Breaker::idle(), timeouts);
        self.download_domains.iter().map(of).collect()
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

    fn tls_config(&self, origins: &[&BaseUrl]) -> Result<Arc<ClientConfig>, ConfigError> {
        let mut is_spoken = false;
        for origin in origins.iter().copied().chain(&self.download_domains) {
            let to_proxy = self.proxy.for_origin(origin)?.is_some_and(|proxy| proxy.is_https);
            is_spoken |= origin.is_https() || to_proxy;
        }
        // Each call may open a connection; the spares are opened in advance.
        let connections = self.max_concurrent_calls.saturating_add(spares::MOST_ON_ALL);
        self.tls.config(is_spoken, connections)
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
