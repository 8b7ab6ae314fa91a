//! How far connecting got, and which addresses were tried.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use thiserror::Error;

use crate::error::ConnectStage;
use crate::error::connect_failure::NAMED;

/// What remains of connecting when its future is dropped by a timeout.
#[derive(Debug)]
pub(crate) struct Trail(Mutex<Steps>);

#[derive(Debug, Clone)]
struct Steps {
    stage: ConnectStage,
    tried: Vec<(SocketAddr, Reply)>,
}

/// The reply of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reply {
    /// None yet.
    None,
    /// A connection.
    Connected,
    /// An error of the operating system.
    Failed(io::ErrorKind),
}

impl Trail {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Steps { stage: ConnectStage::Dns, tried: Vec::new() }))
    }

    /// Records the current stage.
    pub(crate) fn enter(&self, stage: ConnectStage) {
        self.steps().stage = stage;
    }

    pub(crate) fn stage(&self) -> ConnectStage {
        self.steps().stage
    }

    /// Records that a connection to this address is being opened.
    pub(crate) fn tries(&self, address: SocketAddr) {
        let mut steps = self.steps();
        // An address that was skipped may be tried again after another one.
        steps.tried.retain(|(other, _)| *other != address);
        steps.tried.push((address, Reply::None));
    }

    pub(crate) fn connected(&self, address: SocketAddr) {
        self.set(address, Reply::Connected);
    }

    pub(crate) fn failed(&self, address: SocketAddr, kind: io::ErrorKind) {
        self.set(address, Reply::Failed(kind));
    }

    /// Returns whether the operating system reported an error for an address.
    pub(crate) fn has_failed(&self, address: SocketAddr) -> bool {
        let has_failed = |(other, reply): &(SocketAddr, Reply)| {
            *other == address && matches!(reply, Reply::Failed(_))
        };
        self.steps().tried.iter().any(has_failed)
    }

    /// Returns the addresses in the order in which they were tried.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.steps().tried.iter().map(|(address, _)| *address).collect()
    }

    /// Returns an error with the result of each address.
    pub(crate) fn unreached(&self, hop: &str, source: Option<io::Error>) -> Unreached {
        let Steps { stage, tried } = self.steps().clone();
        Unreached { hop: hop.to_owned(), stage, tried, source }
    }

    fn set(&self, address: SocketAddr, reply: Reply) {
        let mut steps = self.steps();
        if let Some(tried) = steps.tried.iter_mut().find(|(other, _)| *other == address) {
            tried.1 = reply;
        }
    }

    fn steps(&self) -> MutexGuard<'_, Steps> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The addresses of the next hop that were tried, and the reply of each.
#[derive(Debug, Error)]
pub(crate) struct Unreached {
    hop: String,
    stage: ConnectStage,
    tried: Vec<(SocketAddr, Reply)>,
    source: Option<io::Error>,
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.hop, self.stage)?;
        for (n, (address, reply)) in self.tried.iter().take(NAMED).enumerate() {
            write!(f, "{} {address} {reply}", if n == 0 { ":" } else { "," })?;
        }
        match self.tried.len().checked_sub(NAMED) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, ", and {more} more"),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("does not answer"),
            Self::Connected => f.write_str("takes connections"),
            Self::Failed(kind) => write!(f, "failed: {kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_became_of_each_address() {
        let trail = Trail::new();
        trail.enter(ConnectStage::Tcp);
        let address = |n| SocketAddr::from(([192, 0, 2, n], 443));
        for n in 1..=2 {
            trail.tries(address(n));
        }
        trail.failed(address(2), io::ErrorKind::ConnectionRefused);
        assert_eq!(
            trail.unreached("a.example:443", None).to_string(),
            "a.example:443 (tcp): 192.0.2.1:443 does not answer, \
             192.0.2.2:443 failed: connection refused"
        );
        for n in 3..=9 {
            trail.tries(address(n));
        }
        let shown = trail.unreached("a.example:443", None).to_string();
        assert!(shown.ends_with("192.0.2.4:443 does not answer, and 5 more"), "{shown}");
        assert_eq!(trail.addresses().len(), 9);
        trail.tries(address(1));
        assert_eq!(trail.addresses().len(), 9, "each is named once");
    }
}
