//! Where the way to a server ended.

use std::error::Error as StdError;
use std::net::SocketAddr;

use http::StatusCode;

use crate::error::ConnectStage;

/// How many addresses an error names.
pub(crate) const NAMED: usize = 4;

/// Says where the way to a server ended, and what lay on it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) stage: ConnectStage,
    /// Its time was over.
    pub(crate) is_timeout: bool,
    /// Somebody answered: another address would say the same.
    pub(crate) is_response: bool,
    /// Host and port of the proxy.
    pub(crate) proxy: Option<String>,
    /// What the proxy refused with.
    pub(crate) proxy_status: Option<StatusCode>,
    /// What was tried: of the proxy, where there is one.
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

    /// Notes what lay on the way.
    pub(crate) fn on_the_way(self, proxy: Option<String>, addresses: Vec<SocketAddr>) -> Self {
        Self { proxy, addresses, ..self }
    }
}
