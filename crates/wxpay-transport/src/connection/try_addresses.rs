//! Tries the addresses of a host until one of them leads to where the caller wants to go.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::connection::dialer::dial;
use crate::connection::dns::failed_addresses::FailedAddresses;
use crate::connection::trail::Trail;
use crate::deadline::deadline;
use crate::error::ConnectStage;
use crate::observe::log;

/// Why an address that accepted a connection led nowhere.
pub(crate) enum Stopped<E> {
    /// The other addresses would end the same.
    Final(E),
    /// Another address may do better.
    Failed(E),
}

/// Why no address led anywhere.
pub(crate) enum Unreachable<E> {
    /// An address accepted a connection; the last failure of those that did.
    Accepted(E),
    /// None accepted one. The first error of the operating system.
    NotAccepted(io::Error),
}

/// What is known of the addresses of a host, and how long they may take.
pub(crate) struct TryAddresses<'a> {
    pub(crate) failed: &'a FailedAddresses,
    pub(crate) trail: &'a Trail,
    /// The stage of opening TCP, as errors name it.
    pub(crate) stage: ConnectStage,
    /// The time of all addresses, of which each that accepts connections gets a share.
    pub(crate) time: Duration,
    /// When it is over.
    pub(crate) end: Instant,
}

impl TryAddresses<'_> {
    /// Connects to the addresses in turn, and passes each connection to `enter` until it succeeds. An address that
    /// accepts connections and then stays silent gets only a share of the time, after which it fails with
    /// `silent`; the last one is waited for by the caller, who has a timeout for everything.
    ///
    /// # Errors
    /// Why no address led anywhere, or the first failure that is final.
    pub(crate) async fn run<T, E, F>(
        &self,
        mut addresses: Vec<SocketAddr>,
        enter: impl Fn(SocketAddr, TcpStream) -> F,
        silent: impl Fn() -> E,
    ) -> Result<T, Unreachable<E>>
    where
        F: Future<Output = Result<T, Stopped<E>>>,
        E: fmt::Display,
    {
        let mut last = None;
        loop {
            addresses = self.failed.order(&addresses);
            self.trail.enter(self.stage);
            let left = self.end.saturating_duration_since(Instant::now());
            let (address, tcp) = match dial(&addresses, left, self.trail, self.failed).await {
                Ok(connected) => connected,
                // The failure of an address that accepted a connection is more informative.
                Err(error) => {
                    return Err(last.map_or(Unreachable::NotAccepted(error), Unreachable::Accepted));
                }
            };
            addresses.retain(|other| *other != address && !self.trail.has_failed(*other));
            let entered = enter(address, tcp);
            let ended = if addresses.is_empty() {
                entered.await
            } else {
                let ended = timeout_at(self.share(addresses.len()), entered).await;
                ended.unwrap_or_else(|_| Err(Stopped::Failed(silent())))
            };
            match ended {
                Ok(reached) => return Ok(reached),
                Err(Stopped::Final(error)) => return Err(Unreachable::Accepted(error)),
                Err(Stopped::Failed(error)) => {
                    self.failed.add(address);
                    if addresses.is_empty() {
                        return Err(Unreachable::Accepted(error));
                    }
                    log::debug!(%address, %error, "trying the next address");
                    last = Some(error);
                }
            }
        }
    }

    /// Returns the deadline of one address when this many others are left.
    fn share(&self, others: usize) -> Instant {
        /// What TLS takes over a slow line; at most a quarter of the time.
        const LEAST: Duration = Duration::from_secs(1);
        let (now, count) = (Instant::now(), u32::try_from(others).unwrap_or(u32::MAX));
        let part = self.end.saturating_duration_since(now) / count.saturating_add(1);
        deadline(now, part.max(LEAST.min(self.time / 4)))
    }
}
