//! The stage and the cause of a failed connection.

use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;

use http::StatusCode;

use crate::error::ConnectStage;

/// Maximum number of addresses that an error names.
pub(crate) const NAMED: usize = 4;

/// The stage and the cause of a failed connection, and what was tried.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) stage: ConnectStage,
    /// The connect timeout expired.
    pub(crate) is_timeout: bool,
    /// The peer responded: another address would respond the same.
    pub(crate) is_response: bool,
    /// Host and port of the proxy.
    pub(crate) proxy: Option<String>,
    /// The status of the proxy's refusal.
    pub(crate) proxy_status: Option<StatusCode>,
    /// The addresses tried: those of the proxy, if one was used.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) source: Box<dyn StdError + Send + Sync>,
}

impl Failure {
    pub(crate) fn new(
        stage: ConnectStage,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            stage,
            is_timeout: false,
            is_response: false,
            proxy: None,
            proxy_status: None,
            addresses: Vec::new(),
            source: source.into(),
        }
    }

    pub(crate) fn timed_out(
        stage: ConnectStage,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { is_timeout: true, ..Self::new(stage, source) }
    }

    /// Adds the proxy and the addresses that were tried.
    pub(crate) fn on_the_way(self, proxy: Option<String>, addresses: Vec<SocketAddr>) -> Self {
        Self { proxy, addresses, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}
