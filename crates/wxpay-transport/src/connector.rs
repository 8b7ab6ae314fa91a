//! How a connection comes about: name, TCP, proxy, TLS.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use crate::base_url::BaseUrl;
use crate::error::{ConfigError, ConnectStage};
use crate::resolver::Resolve;
use crate::stream::{Counted, Link, Stream};

type BoxError = Box<dyn StdError + Send + Sync>;
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Opens connections to one origin.
#[derive(Clone)]
pub(crate) struct Connector {
    destination: Uri,
    server_name: Option<ServerName<'static>>,
    proxy: Option<Intercept>,
    dialer: Dialer,
}

/// Says where the way to a server ended.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) stage: ConnectStage,
    pub(crate) source: BoxError,
}

impl Connector {
    pub(crate) fn new(
        base: &BaseUrl,
        destination: Uri,
        proxy: Option<Intercept>,
        tls: Arc<ClientConfig>,
        resolver: Option<Arc<dyn Resolve>>,
    ) -> Result<Self, ConfigError> {
        let server_name = base.is_https().then(|| server_name(base.host())).transpose()?;
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new(resolver));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        Ok(Self {
            destination,
            proxy,
            server_name,
            dialer: Dialer { tcp, tls: TlsConnector::from(tls) },
        })
    }

    /// Opens a connection. Nothing of a request is written on it yet.
    pub(crate) async fn connect(&self) -> Result<Stream, Failure> {
        let link = match &self.proxy {
            None => self.dialer.tcp(&self.destination).await.map(Link::Tcp)?,
            Some(proxy) => self.tunnel(proxy).await?,
        };
        match &self.server_name {
            None => Ok(Stream::Plain(link)),
            Some(name) => {
                let tls = self.dialer.tls.connect(name.clone(), link).await.map_err(tls_failed)?;
                Ok(Stream::Tls(Box::new(tls)))
            }
        }
    }

    async fn tunnel(&self, proxy: &Intercept) -> Result<Link, Failure> {
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.dialer.clone());
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        let tunnelled = tunnel.call(self.destination.clone()).await;
        let failed = |e| Failure { stage: ConnectStage::Proxy, source: Box::new(e) };
        Ok(tunnelled.map_err(failed)?.into_inner())
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, ConfigError> {
    ServerName::try_from(host.to_owned()).map_err(|_| ConfigError::MalformedUrl)
}

fn tls_failed(e: io::Error) -> Failure {
    Failure { stage: ConnectStage::Tls, source: Box::new(e) }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("destination", &self.destination)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

/// Reaches the next hop: the origin, or a proxy, to which the way may be TLS as well.
#[derive(Clone)]
struct Dialer {
    tcp: HttpConnector<Resolver>,
    tls: TlsConnector,
}

impl Dialer {
    async fn tcp(&self, to: &Uri) -> Result<Counted, Failure> {
        let tcp = self.tcp.clone().call(to.clone()).await.map_err(|e| Failure {
            stage: if is_dns(&e) { ConnectStage::Dns } else { ConnectStage::Tcp },
            source: Box::new(e),
        })?;
        Ok(Counted::new(tcp.into_inner()))
    }
}

/// How the tunnel reaches the proxy.
impl Service<Uri> for Dialer {
    type Response = TokioIo<Link>;
    type Error = BoxError;
    type Future = BoxFuture<Result<TokioIo<Link>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, proxy: Uri) -> Self::Future {
        let dialer = self.clone();
        Box::pin(async move {
            let tcp = dialer.tcp(&proxy).await.map_err(|e| e.source)?;
            if proxy.scheme_str() != Some("https") {
                return Ok(TokioIo::new(Link::Tcp(tcp)));
            }
            let name = server_name(proxy.host().unwrap_or_default())?;
            let tls = dialer.tls.connect(name, tcp).await?;
            Ok(TokioIo::new(Link::TlsToProxy(Box::new(tls))))
        })
    }
}

/// Looks names up, and marks its errors so that they can be told from those of TCP.
#[derive(Clone)]
enum Resolver {
    System(GaiResolver),
    Given(Arc<dyn Resolve>),
}

impl Resolver {
    fn new(given: Option<Arc<dyn Resolve>>) -> Self {
        given.map_or_else(|| Self::System(GaiResolver::new()), Self::Given)
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = DnsError;
    type Future = BoxFuture<Result<Self::Response, DnsError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DnsError>> {
        match self {
            Self::System(system) => system.poll_ready(cx).map_err(DnsError),
            Self::Given(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, name: Name) -> Self::Future {
        match self {
            Self::System(system) => {
                let addresses = system.call(name);
                Box::pin(async move {
                    let addresses: Vec<_> = addresses.await.map_err(DnsError)?.collect();
                    Ok(addresses.into_iter())
                })
            }
            Self::Given(given) => {
                let given = Arc::clone(given);
                Box::pin(async move {
                    let addresses = given.resolve(name.as_str()).await.map_err(DnsError)?;
                    // The port is that of the destination.
                    let with_port = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
                    Ok(with_port.collect::<Vec<_>>().into_iter())
                })
            }
        }
    }
}

/// Says that a name was not found.
#[derive(Debug, thiserror::Error)]
#[error("the name was not found")]
struct DnsError(#[source] io::Error);

fn is_dns(error: &(dyn StdError + 'static)) -> bool {
    std::iter::successors(Some(error), |&e| e.source()).any(<dyn StdError>::is::<DnsError>)
}
