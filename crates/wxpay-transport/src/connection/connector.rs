//! Opens a connection: name lookup, TCP, proxy, TLS.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::connection::base_url::{BaseUrl, authority};
use crate::connection::dns::failed_addresses::FailedAddresses;
use crate::connection::dns::lookup::Lookup;
use crate::connection::io::paced::paced;
use crate::connection::io::stream::{CountedTcp, Link, Stream};
use crate::connection::proxy::tunnel::{self, TunnelError};
use crate::connection::proxy::url::ProxyUrl;
use crate::connection::trail::Trail;
use crate::connection::try_addresses::{Stopped, TryAddresses, Unreachable};
use crate::deadline::deadline;
use crate::error::connect_failure::Failure;
use crate::error::{ConfigError, ConnectStage};

/// Opens connections to one origin.
#[derive(Clone)]
pub(crate) struct Connector {
    origin: Hop,
    proxy: Option<ProxyHop>,
    tls: TlsConnector,
    lookup: Lookup,
    failed: Arc<FailedAddresses>,
    patience: Patience,
}

/// Timeouts of connecting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For everything: name lookup, TCP, proxy, TLS.
    pub(crate) all: Duration,
    /// Divided among several addresses: `all`, or the attempt timeout if that is less.
    pub(crate) divided: Duration,
}

/// A server to connect to.
#[derive(Clone)]
struct Hop {
    /// Without brackets.
    host: String,
    port: u16,
    /// `None` without TLS.
    server_name: Option<ServerName<'static>>,
}

#[derive(Clone)]
struct ProxyHop {
    hop: Hop,
    credentials: Option<HeaderValue>,
}

/// How far a connection to an address got.
enum Way {
    ToOrigin(Stream),
    ToProxy(Link),
}

impl Connector {
    pub(crate) fn new(
        base: &BaseUrl,
        proxy: Option<ProxyUrl>,
        tls: Arc<ClientConfig>,
        lookup: Lookup,
        patience: Patience,
    ) -> Result<Self, ConfigError> {
        let proxy = proxy.map(|proxy| {
            let hop = Hop::new(&proxy.host, proxy.port, proxy.is_https, ConfigError::Proxy)?;
            Ok(ProxyHop { hop, credentials: proxy.credentials })
        });
        let malformed = ConfigError::MalformedUrl;
        Ok(Self {
            origin: Hop::new(base.host(), base.port(), base.is_https(), malformed)?,
            proxy: proxy.transpose()?,
            tls: TlsConnector::from(tls),
            lookup,
            failed: Arc::default(),
            patience,
        })
    }

    /// Returns the timeout of connecting.
    pub(crate) fn time(&self) -> Duration {
        self.patience.all
    }

    /// Opens a connection within the timeout. Nothing of a request is written yet.
    pub(crate) async fn connect(&self) -> Result<Stream, Failure> {
        let trail = Trail::new();
        let end = deadline(Instant::now(), self.patience.all);
        let connected = timeout_at(end, paced(self.reach(&trail))).await.unwrap_or_else(|_| {
            trail.addresses().into_iter().for_each(|address| self.failed.add(address));
            let source = trail.unreached(&self.next_hop().authority(), None);
            Err(Failure::timed_out(trail.stage(), source))
        });
        connected.map_err(|failure| {
            self.lookup.forget();
            let proxy = self.proxy.as_ref().map(|proxy| proxy.hop.authority());
            failure.on_the_way(proxy, trail.addresses())
        })
    }

    async fn reach(&self, trail: &Trail) -> Result<Stream, Failure> {
        let way = self.enter(trail).await?;
        let link = match way {
            Way::ToOrigin(stream) => return Ok(stream),
            Way::ToProxy(link) => link,
        };
        // Behind the tunnel there is no choice of address.
        self.to_origin(link, trail).await
    }

    /// Connects to one of the addresses of the next hop. An address that accepts connections and then
    /// stays silent gets only a part of the time.
    async fn enter(&self, trail: &Trail) -> Result<Way, Failure> {
        let hop = self.next_hop();
        let stage = |stage| if self.proxy.is_some() { ConnectStage::Proxy } else { stage };
        trail.enter(stage(ConnectStage::Dns));
        let end = deadline(Instant::now(), self.patience.divided);
        let addresses = self.lookup.addresses(&hop.host, hop.port).await;
        let addresses =
            addresses.map_err(|e| Failure::new(stage(ConnectStage::Dns), NotFound(e)))?;
        let enter = |address, tcp| async move {
            let entered = self.pass(tcp, trail).await;
            let stopped = |failure: Failure| {
                let stopped = if failure.is_response { Stopped::Final } else { Stopped::Failed };
                stopped(failure)
            };
            let way = entered.map_err(stopped)?;
            self.failed.remove(address);
            Ok(way)
        };
        let silent = || Failure::new(trail.stage(), io::Error::from(io::ErrorKind::TimedOut));
        let (failed, time) = (&*self.failed, self.patience.divided);
        let each = TryAddresses { failed, trail, stage: stage(ConnectStage::Tcp), time, end };
        let reached = each.run(addresses, enter, silent).await;
        reached.map_err(|unreachable| match unreachable {
            Unreachable::Accepted(failure) => failure,
            Unreachable::NotAccepted(error) => {
                let source = trail.unreached(&hop.authority(), Some(error));
                Failure::new(stage(ConnectStage::Tcp), source)
            }
        })
    }

    /// Goes from TCP to the point after which the address of the next hop no longer matters.
    async fn pass(&self, tcp: TcpStream, trail: &Trail) -> Result<Way, Failure> {
        let tcp = CountedTcp::counted(tcp);
        let Some(ProxyHop { hop, credentials }) = &self.proxy else {
            return self.to_origin(Link::Tcp(tcp), trail).await.map(Way::ToOrigin);
        };
        trail.enter(ConnectStage::Proxy);
        let mut link = match &hop.server_name {
            None => Link::Tcp(tcp),
            Some(name) => {
                let tls = self.tls.connect(name.clone(), tcp).await;
                let tls = tls.map_err(|e| Failure::new(ConnectStage::Proxy, ToProxy(e)))?;
                Link::TlsToProxy(Box::new(tls))
            }
        };
        let opened = tunnel::open(&mut link, &self.origin.authority(), credentials.as_ref()).await;
        let failed = |e: TunnelError| {
            let (status, is_response) = (e.status(), e.is_response());
            Failure { proxy_status: status, is_response, ..Failure::new(ConnectStage::Proxy, e) }
        };
        opened.map_err(failed)?;
        Ok(Way::ToProxy(link))
    }

    async fn to_origin(&self, link: Link, trail: &Trail) -> Result<Stream, Failure> {
        let Some(name) = &self.origin.server_name else { return Ok(Stream::Plain(link)) };
        trail.enter(ConnectStage::Tls);
        let tls = self.tls.connect(name.clone(), link).await;
        tls.map(|tls| Stream::Tls(Box::new(tls))).map_err(|e| Failure::new(ConnectStage::Tls, e))
    }

    fn next_hop(&self) -> &Hop {
        self.proxy.as_ref().map_or(&self.origin, |proxy| &proxy.hop)
    }
}

impl Hop {
    fn new(
        host: &str,
        port: u16,
        is_https: bool,
        malformed: ConfigError,
    ) -> Result<Self, ConfigError> {
        let server_name = is_https.then(|| ServerName::try_from(host.to_owned())).transpose();
        let server_name = server_name.map_err(|_| malformed)?;
        Ok(Self { host: host.to_owned(), port, server_name })
    }

    fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

/// The name was not found.
#[derive(Debug, thiserror::Error)]
#[error("the name was not found")]
struct NotFound(#[source] io::Error);

/// TLS to the proxy failed.
#[derive(Debug, thiserror::Error)]
#[error("tls to the proxy failed")]
struct ToProxy(#[source] io::Error);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("origin", &self.origin.authority())
            .field("proxy", &self.proxy.as_ref().map(|proxy| proxy.hop.authority()))
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
