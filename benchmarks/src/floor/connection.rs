//! Bare connections.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::settings::{Origin, Settings};
use crate::{Result, tls};

/// One connection, driven by its own task.
pub(super) type Connection = SendRequest<Full<Bytes>>;

/// Opens connections to one origin.
pub(super) struct Connector {
    origin: Origin,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let origin = settings.origin.clone();
        if !origin.is_tls {
            return Ok(Self::plain(origin));
        }
        let config = Arc::new(tls::client_config(settings.ca_file.as_deref())?);
        let name = ServerName::try_from(origin.host.clone())?;
        Ok(Self { origin, tls: Some((TlsConnector::from(config), name)) })
    }

    pub(super) fn plain(origin: Origin) -> Self {
        Self { origin, tls: None }
    }

    pub(super) async fn connect(&self) -> Result<Connection> {
        let tcp = TcpStream::connect((self.origin.host.as_str(), self.origin.port)).await?;
        tcp.set_nodelay(true)?;
        match &self.tls {
            None => handshake(tcp).await,
            Some((tls, name)) => handshake(tls.connect(name.clone(), tcp).await?).await,
        }
    }
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
) -> Result<Connection> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
