//! A small `CONNECT` proxy.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::server_tls::{ServerTls, acceptor};

/// How a proxy responds to `CONNECT`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyManners {
    /// Opens the tunnel to this machine, for any host.
    Open,
    /// Opens the tunnel for this `user:password`, and responds with 407 otherwise.
    Credentials(String),
    /// Responds with this status.
    Refuse(u16),
    /// Does not respond.
    Hang,
}

/// A `CONNECT` proxy on `127.0.0.1`, which runs until it is dropped.
pub struct ConnectProxy {
    address: SocketAddr,
    is_tls: bool,
    tunnels: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl ConnectProxy {
    /// Starts a proxy on a free port.
    pub async fn start(manners: ProxyManners) -> Self {
        Self::run(manners, None).await
    }

    /// Starts a proxy that is reached over TLS.
    pub async fn start_tls(manners: ProxyManners) -> Self {
        Self::run(manners, Some(acceptor(ServerTls::Good))).await
    }

    #[expect(clippy::expect_used, reason = "a test without a port cannot go on")]
    async fn run(manners: ProxyManners, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (is_tls, tunnels) = (tls.is_some(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&tunnels);
        let accepting = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (manners, tls, counter) = (manners.clone(), tls.clone(), Arc::clone(&counter));
                serving.spawn(async move {
                    match tls {
                        None => tunnel(tcp, &manners, &counter).await,
                        Some(tls) => tunnel(tls.accept(tcp).await?, &manners, &counter).await,
                    }
                });
            }
        });
        Self { address, is_tls, tunnels, accepting }
    }

    /// Returns `http://127.0.0.1:PORT`, or the same with `https`.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.is_tls { "https" } else { "http" }, self.address)
    }

    /// Returns the same with `user:password@` in it.
    pub fn url_with(&self, credentials: &str) -> String {
        self.url().replace("://", &format!("://{credentials}@"))
    }

    /// Returns the number of tunnels opened.
    pub fn tunnels(&self) -> usize {
        self.tunnels.load(Ordering::Relaxed)
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for ConnectProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectProxy").field("url", &self.url()).finish_non_exhaustive()
    }
}

async fn tunnel<S: AsyncRead + AsyncWrite + Unpin>(
    mut client: S,
    manners: &ProxyManners,
    tunnels: &AtomicUsize,
) -> io::Result<()> {
    let head = read_head(&mut client).await?;
    let status = match manners {
        ProxyManners::Hang => std::future::pending().await,
        ProxyManners::Refuse(status) => *status,
        ProxyManners::Credentials(expected) => {
            let expected = format!("basic {}", STANDARD.encode(expected));
            let given = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("proxy-authorization").then_some(value)
            });
            let fits = given.is_some_and(|given| given.eq_ignore_ascii_case(&expected));
            if fits { 200 } else { 407 }
        }
        ProxyManners::Open => 200,
    };
    let destination = head.strip_prefix("CONNECT ").and_then(|rest| rest.split_once(' '));
    let port = destination.and_then(|(to, _)| to.rsplit_once(':')?.1.parse::<u16>().ok());
    let (200, Some(port)) = (status, port) else {
        let status = if status == 200 { 400 } else { status };
        let response = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
        return client.write_all(response.as_bytes()).await;
    };
    // Every name leads to this machine.
    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    tunnels.fetch_add(1, Ordering::Relaxed);
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await.map(|_| ())
}

/// Reads up to the empty line, and not beyond.
async fn read_head<S: AsyncRead + Unpin>(client: &mut S) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 * 1024 {
        head.push(client.read_u8().await?);
    }
    String::from_utf8(head).map_err(io::Error::other)
}
