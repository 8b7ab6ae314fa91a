//! Selects an address of Redis.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::connection::dns::failed_addresses::FailedAddresses;
use crate::connection::dns::lookup::Lookup;
use crate::connection::trail::Trail;
use crate::connection::try_addresses::{Stopped, TryAddresses, Unreachable};
use crate::error::ConnectStage;
use crate::observe::log;
use crate::rate_limit::redis::lost::Lost;

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
        let reached = timeout_at(end, self.try_all(host, port, time, end, &trail, log_in));
        let reached = reached.await.unwrap_or_else(|_| {
            trail.addresses().into_iter().for_each(|address| self.failed.add(address));
            Err(Lost::Slow)
        });
        reached.inspect_err(|_| self.lookup.forget())
    }

    async fn try_all<T, F>(
        &self,
        host: &str,
        port: u16,
        time: Duration,
        end: Instant,
        trail: &Trail,
        log_in: impl Fn(TcpStream) -> F,
    ) -> Result<(SocketAddr, T), Lost>
    where
        F: Future<Output = Result<T, Lost>>,
    {
        let addresses = self.lookup.addresses(host, port).await;
        let addresses = addresses.map_err(|error| {
            log::debug!(host, %error, "cannot resolve the host name of redis");
            Lost::Connection
        })?;
        let enter = |address, tcp| {
            let logging_in = log_in(tcp);
            async move {
                match logging_in.await {
                    Ok(reached) => Ok((address, reached)),
                    // Redis responded: the other addresses would refuse too, and count another wrong password.
                    Err(refused @ Lost::Refused(_)) => Err(Stopped::Final(refused)),
                    // An endless response is reported, without trying the other addresses.
                    Err(Lost::TooLong) => {
                        self.failed.add(address);
                        Err(Stopped::Final(Lost::TooLong))
                    }
                    Err(lost) => Err(Stopped::Failed(lost)),
                }
            }
        };
        let (failed, stage) = (&*self.failed, ConnectStage::Tcp);
        let each = TryAddresses { failed, trail, stage, time, end };
        let reached = each.run(addresses, enter, || Lost::Slow).await;
        reached.map_err(|unreachable| match unreachable {
            Unreachable::Accepted(lost) => lost,
            Unreachable::NotAccepted(_) => Lost::Connection,
        })
    }
}
