//! Connections that did not come about.

use std::error::Error as StdError;
use std::fmt;

use super::call::Call;

/// Names how far the way to WeChat Pay led.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectStage {
    /// The name was looked up.
    Dns,
    /// TCP was connected.
    Tcp,
    /// A tunnel through the proxy was asked for.
    Proxy,
    /// TLS was agreed on.
    Tls,
    /// HTTP was begun.
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

/// Says that no connection came about. Nothing of the request was sent.
#[derive(Debug)]
pub struct ConnectError {
    pub(super) call: Box<Call>,
    stage: ConnectStage,
    source: Box<dyn StdError + Send + Sync>,
}

impl ConnectError {
    pub(crate) fn new(
        call: Call,
        stage: ConnectStage,
        source: Box<dyn StdError + Send + Sync>,
    ) -> Self {
        Self { call: Box::new(call), stage, source }
    }

    /// Returns where it ended.
    pub fn stage(&self) -> ConnectStage {
        self.stage
    }

    /// Says what to do.
    pub fn hint(&self) -> &'static str {
        match self.stage {
            ConnectStage::Dns => "check the host name and the name server; nothing was sent",
            ConnectStage::Tcp => {
                "check that the host can be reached on this port (firewall, proxy); nothing was sent"
            }
            ConnectStage::Proxy => {
                "check address, user and password of the proxy, and that it lets CONNECT pass to \
                 this host; nothing was sent"
            }
            ConnectStage::Tls => {
                "check the host name, the local clock and the trusted roots; a certificate that \
                 does not fit means that somebody else answers; nothing was sent"
            }
            ConnectStage::Http => "try again; nothing was sent",
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no connection to {} ({})", self.call.host, self.stage)
    }
}

impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}
