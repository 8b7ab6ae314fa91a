//! Failed connections.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;

use http::StatusCode;

use super::call_context::CallContext;
use crate::error::connect_failure::Failure;
use crate::error::connect_failure::NAMED;

/// The stage at which connecting failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectStage {
    /// Looking up the name.
    Dns,
    /// Connecting TCP.
    Tcp,
    /// Requesting a tunnel through the proxy.
    Proxy,
    /// Negotiating TLS.
    Tls,
    /// Starting HTTP.
    Http,
}

impl fmt::Display for ConnectStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::Http => "http",
        })
    }
}

/// The connection could not be opened. Nothing of this attempt was sent.
#[derive(Debug)]
pub struct ConnectError {
    pub(super) call: Box<CallContext>,
    failure: Box<Failure>,
}

impl ConnectError {
    /// Creates an error from the stage at which connecting failed, for custom transports.
    pub fn new(
        call: CallContext,
        stage: ConnectStage,
        source: Box<dyn StdError + Send + Sync>,
    ) -> Self {
        Self::of(call, Failure::new(stage, source))
    }

    pub(crate) fn of(call: CallContext, failure: Failure) -> Self {
        Self { call: Box::new(call), failure: Box::new(failure) }
    }

    /// Adds host and port of the proxy, and the status with which it refused the tunnel, if it did.
    #[must_use]
    pub fn with_proxy(mut self, proxy: impl Into<String>, status: Option<StatusCode>) -> Self {
        self.failure.proxy = Some(proxy.into());
        self.failure.proxy_status = status;
        self
    }

    /// Adds the addresses that were tried, in their order.
    #[must_use]
    pub fn with_addresses(mut self, addresses: Vec<SocketAddr>) -> Self {
        self.failure.addresses = addresses;
        self
    }

    /// Returns the stage at which connecting failed.
    pub fn stage(&self) -> ConnectStage {
        self.failure.stage
    }

    /// Returns host and port of the proxy, if one was used.
    pub fn proxy(&self) -> Option<&str> {
        self.failure.proxy.as_deref()
    }

    /// Returns the status with which the proxy refused the tunnel. It does not come from WeChat Pay.
    pub fn proxy_status(&self) -> Option<StatusCode> {
        self.failure.proxy_status
    }

    /// Returns the addresses in the order in which they were tried: those of the proxy, if one was used. Empty
    /// if the name was not found.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.failure.addresses
    }

    /// Returns what to do. An earlier attempt of the call that may have been carried out comes first.
    pub fn hint(&self) -> Cow<'static, str> {
        self.call.hint(self.last_hint())
    }

    fn last_hint(&self) -> &'static str {
        match self.failure.stage {
            ConnectStage::Dns => "check the host name and the name server; nothing was sent",
            ConnectStage::Tcp => {
                "check that the host can be reached on this port (firewall, proxy); nothing was sent"
            }
            ConnectStage::Proxy => self.proxy_hint(),
            ConnectStage::Tls => {
                "check the host name, the local clock and the trusted roots; a certificate that \
                 does not fit means that somebody else answers; nothing was sent"
            }
            ConnectStage::Http => "try again; nothing was sent",
        }
    }

    fn proxy_hint(&self) -> &'static str {
        match self.failure.proxy_status.map(|status| status.as_u16()) {
            None => {
                "check address and port of the proxy, and that it supports CONNECT; nothing was sent"
            }
            Some(401 | 407) => {
                "check user and password of the proxy, percent-encoded in its URL; nothing was sent"
            }
            Some(403 | 405) => {
                "have the proxy let CONNECT pass to this host and port; nothing was sent"
            }
            Some(429) => "the proxy asks to slow down: try again later; nothing was sent",
            Some(300..=399) => {
                "this is no proxy for CONNECT, or one that requires a login by browser; nothing was sent"
            }
            Some(500..=599) => {
                "the proxy does not work, or does not reach this host: try again, and see its log; \
                 nothing was sent"
            }
            Some(_) => "see the log of the proxy for why it refuses the tunnel; nothing was sent",
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { stage, proxy, proxy_status, addresses, .. } = &*self.failure;
        write!(f, "no connection to {} ({stage})", self.call.host)?;
        let mut before = ": ";
        if let Some(proxy) = proxy {
            write!(f, "{before}through the proxy {proxy}")?;
            before = ", ";
        }
        if let Some(status) = proxy_status {
            return write!(f, "{before}which answered {}", status.as_u16());
        }
        for (n, address) in addresses.iter().take(NAMED).enumerate() {
            write!(f, "{}{address}", if n == 0 { before } else { ", " })?;
            if n == 0 {
                before = ", ";
            }
        }
        match addresses.len().checked_sub(NAMED) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, " and {more} more"),
        }
    }
}

impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.failure.source)
    }
}
