//! Looks up the addresses of the next hop.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::connection::dns::resolve::Resolve;
use crate::connection::dns::system_lookup::SystemLookup;
use crate::panics::named_async;

/// Maximum number of addresses of a name: connections to all of them may be pending at the same time.
const MOST: usize = 32;

/// The source of addresses.
#[derive(Debug, Clone)]
pub(crate) enum Lookup {
    /// The operating system; its response is cached for a few seconds.
    System(Arc<SystemLookup>),
    /// The application's resolver.
    Given(Arc<dyn Resolve>),
    /// No lookup: plain HTTP does not leave this machine, whatever a name server says.
    Loopback,
}

impl Lookup {
    /// Returns the distinct addresses of a host, the preferred one first.
    pub(crate) async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found: Vec<IpAddr> = match (host.parse(), self) {
            (Ok(address), _) => vec![address],
            (_, Self::Loopback) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            (_, Self::Given(resolver)) => named_async("Resolve", resolver.resolve(host)).await?,
            (_, Self::System(system)) => system.addresses(host, port).await?,
        };
        let mut addresses: Vec<SocketAddr> = Vec::with_capacity(found.len().min(MOST));
        for address in found {
            let address = SocketAddr::new(address, port);
            if addresses.len() < MOST && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(addresses)
    }

    /// Discards the cached addresses after a failed connection.
    pub(crate) fn forget(&self) {
        if let Self::System(system) = self {
            system.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;

    #[derive(Debug)]
    struct Says(Vec<IpAddr>);

    #[async_trait]
    impl Resolve for Says {
        async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            Ok(self.0.clone())
        }
    }

    fn says(addresses: impl IntoIterator<Item = [u8; 4]>) -> Lookup {
        Lookup::Given(Arc::new(Says(addresses.into_iter().map(Into::into).collect())))
    }

    #[tokio::test]
    async fn an_address_is_looked_up_nowhere() {
        let elsewhere = says([[192, 0, 2, 1]]);
        for (host, address) in [("127.0.0.1", "127.0.0.1:7"), ("::1", "[::1]:7")] {
            let found = elsewhere.addresses(host, 7).await.unwrap();
            assert_eq!(found, [address.parse().unwrap()]);
        }
    }

    #[tokio::test]
    async fn this_machine_is_asked_of_nobody() {
        let found = Lookup::Loopback.addresses("localhost", 7).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
        assert_eq!(found.len(), 2, "of both families");
    }

    #[tokio::test]
    async fn each_address_counts_once_and_there_are_not_too_many() {
        let found = says([[1, 1, 1, 1], [1, 1, 1, 2], [1, 1, 1, 1]]).addresses("a", 7).await;
        assert_eq!(found.unwrap().len(), 2);
        let found = says((0..=255).map(|n| [1, 1, 1, n])).addresses("a", 7).await;
        assert_eq!(found.unwrap().len(), MOST);
        let none = says([]).addresses("a", 7).await.unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
    }
}
