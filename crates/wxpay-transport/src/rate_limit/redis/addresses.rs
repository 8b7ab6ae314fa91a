//! Selects an address of Redis.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::connection::dialer::dial;
use crate::connection::dns::failed_addresses::FailedAddresses;
use crate::connection::dns::lookup::Lookup;
use crate::connection::trail::Trail;
use crate::error::ConnectStage;
use crate::observe::log;
use crate::rate_limit::redis::shared_limit::Lost;

/// Tries the addresses of a host, those that failed recently last.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    pub(crate) lookup: Lookup,
    failed: Arc<FailedAddresses>,
}

impl Addresses {
    pub(crate) fn new(lookup: Lookup) -> Self {
        Self { lookup, failed: Arc::default() }
    }

    /// Records that an address does not respond.
    pub(crate) fn fail(&self, address: SocketAddr) {
        self.failed.add(address);
    }

    /// Connects to one of the addresses and logs in, within `time`.
    pub(crate) async fn reach<T, F>(
        &self,
        host: &str,
        port: u16,
        time: Duration,
        log_in: impl Fn(TcpStream) -> F,
    ) -> Result<(SocketAddr, T), Lost>
    where
        F: Future<Output = Result<T, Lost>>,
    {
        let (end, trail) = (Instant::now() + time, Trail::new());
        let reached = timeout_at(end, self.try_all(host, port, end, &trail, log_in));
        let reached = reached.await.unwrap_or_else(|_| {
            trail.addresses().into_iter().for_each(|address| self.failed.add(address));
            Err(Lost::Slow)
        });
        reached.inspect_err(|_| self.lookup.forget())
    }

    /// Skips an address that accepts no connections. One that accepts them but does not respond gets only a share
    /// of the time.
    async fn try_all<T, F>(
        &self,
        host: &str,
        port: u16,
        end: Instant,
        trail: &Trail,
        log_in: impl Fn(TcpStream) -> F,
    ) -> Result<(SocketAddr, T), Lost>
    where
        F: Future<Output = Result<T, Lost>>,
    {
        let addresses = self.lookup.addresses(host, port).await;
        let mut addresses = addresses.map_err(|error| {
            log::debug!(host, %error, "cannot resolve the host name of redis");
            Lost::Connection
        })?;
        trail.enter(ConnectStage::Tcp);
        let mut lost = Lost::Connection;
        loop {
            addresses = self.failed.order(&addresses);
            let left = end.saturating_duration_since(Instant::now());
            let connected = dial(&addresses, left, trail, &self.failed).await;
            let Ok((address, tcp)) = connected else { return Err(lost) };
            addresses.retain(|other| *other != address && !trail.has_failed(*other));
            let others = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
            let now = Instant::now();
            let share = now + end.saturating_duration_since(now) / others.saturating_add(1);
            lost = match timeout_at(share, log_in(tcp)).await.unwrap_or(Err(Lost::Slow)) {
                Ok(reached) => return Ok((address, reached)),
                // Redis responded: the other addresses would refuse too, and count another wrong password.
                Err(refused @ Lost::Refused(_)) => return Err(refused),
                Err(lost) => lost,
            };
            self.failed.add(address);
            // An endless response is reported, without trying the other addresses.
            if addresses.is_empty() || lost == Lost::TooLong {
                return Err(lost);
            }
            log::debug!(%address, error = %lost, "trying the next address of redis");
        }
    }
}
