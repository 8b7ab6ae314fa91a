//! A server that sends one response too many, or closes idle connections.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, broadcast};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// The surplus response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extra {
    /// A repetition of the previous response, with a valid signature.
    Again,
    /// An error of WeChat Pay without a signature.
    Unsigned(u16),
}

/// When the surplus response is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// In one segment with the regular response.
    InOneSegment,
    /// This long after the regular response.
    After(Duration),
    /// After the next request has arrived on any connection, and before its response.
    InFlight,
}

/// The fault of the next response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Haunting {
    pub(crate) extra: Extra,
    pub(crate) when: When,
}

/// Runs in front of a good server, and forwards plain HTTP to it.
#[derive(Debug)]
pub(crate) struct Ghost {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    /// The fault of the next response.
    haunting: Mutex<Option<Haunting>>,
    /// Signals the next request to responses that are sent in flight.
    next_request: Notify,
    waits_in_flight: AtomicUsize,
    /// Makes idle connections send a response without a request.
    unasked: broadcast::Sender<()>,
    /// Number of surplus responses sent.
    extras: AtomicUsize,
    /// Number of requests in progress.
    busy: AtomicUsize,
    close: broadcast::Sender<()>,
    /// Each entry is alive as long as its connection.
    connections: Mutex<Vec<Weak<()>>>,
}

impl Ghost {
    pub(crate) async fn start(upstream: SocketAddr, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            upstream,
            haunting: Mutex::default(),
            next_request: Notify::new(),
            waits_in_flight: AtomicUsize::new(0),
            unasked: broadcast::Sender::new(1),
            extras: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            close: broadcast::Sender::new(1),
            connections: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, tls.map(TlsAcceptor::from), shared.clone()));
        Self { address, shared, accepting }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Sets the fault of the next response.
    pub(crate) fn haunt(&self, haunting: Haunting) {
        *self.shared.haunting.lock().expect("nobody panics") = Some(haunting);
    }

    /// Sends a response without a request on all idle connections; returns their number.
    pub(crate) fn answer_unasked(&self) -> usize {
        self.shared.unasked.send(()).unwrap_or(0)
    }

    /// Returns the number of surplus responses sent.
    pub(crate) fn extras(&self) -> usize {
        self.shared.extras.load(Ordering::SeqCst)
    }

    /// Closes all connections. They are closed once none of the returned references is alive.
    pub(crate) fn close_all(&self) -> Vec<Weak<()>> {
        let connections = self.shared.connections.lock().expect("nobody panics").split_off(0);
        // Fails if there is no connection.
        let _ = self.shared.close.send(());
        connections
    }

    /// Returns whether a request is in progress.
    pub(crate) fn is_busy(&self) -> bool {
        self.shared.busy.load(Ordering::SeqCst) > 0
    }
}

impl Drop for Ghost {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut serving = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        while serving.try_join_next().is_some() {}
        let (tls, shared, mut close) = (tls.clone(), shared.clone(), shared.close.subscribe());
        let is_open = Arc::new(());
        shared.connections.lock().expect("nobody panics").push(Arc::downgrade(&is_open));
        serving.spawn(async move {
            let _until_the_end = is_open;
            tokio::select! {
                ended = serve(tcp, tls, &shared) => ended,
                _ = close.recv() => Ok(()),
            }
        });
    }
}

async fn serve(tcp: TcpStream, tls: Option<TlsAcceptor>, shared: &Shared) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    match tls {
        None => answer_all(tcp, shared).await,
        Some(tls) => answer_all(tls.accept(tcp).await?, shared).await,
    }
}

/// Counts a request until this is dropped.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn answer_all<S>(mut stream: S, shared: &Shared) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut in_flight: Option<Vec<u8>> = None;
    let mut unasked = shared.unasked.subscribe();
    loop {
        // A response waiting to be sent in flight is sent when a request arrives on any connection.
        let head = match &in_flight {
            None => {
                tokio::select! {
                    head = read_head(&mut stream) => head?,
                    _ = unasked.recv() => {
                        send_extra(&mut stream, &unsigned(400), shared).await?;
                        continue;
                    }
                }
            }
            Some(extra) => {
                tokio::select! {
                    biased;
                    head = read_head(&mut stream) => {
                        shared.waits_in_flight.fetch_sub(1, Ordering::SeqCst);
                        let head = head?;
                        send_extra(&mut stream, extra, shared).await?;
                        head
                    }
                    () = shared.next_request.notified() => {
                        shared.waits_in_flight.fetch_sub(1, Ordering::SeqCst);
                        send_extra(&mut stream, extra, shared).await?;
                        in_flight = None;
                        continue;
                    }
                }
            }
        };
        if in_flight.take().is_some() {
            // The client has a response by now. The request is still executed, a little later.
            tokio::time::sleep(Duration::from_millis(5)).await;
        } else if shared.waits_in_flight.load(Ordering::SeqCst) > 0 {
            // The permit is stored if the response does not wait yet.
            shared.next_request.notify_one();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let busy = Busy::begin(&shared.busy);
        let haunting = shared.haunting.lock().expect("nobody panics").take();
        let mut response = ask(shared.upstream, &head).await?;
        let extra = haunting.map(|haunting| match haunting.extra {
            Extra::Again => response.clone(),
            Extra::Unsigned(status) => unsigned(status),
        });
        match (haunting.map(|haunting| haunting.when), extra) {
            (Some(When::InOneSegment), Some(extra)) => {
                response.extend_from_slice(&extra);
                send_extra(&mut stream, &response, shared).await?;
            }
            (Some(When::After(wait)), Some(extra)) => {
                stream.write_all(&response).await?;
                stream.flush().await?;
                drop(busy);
                tokio::time::sleep(wait).await;
                send_extra(&mut stream, &extra, shared).await?;
            }
            (Some(When::InFlight), extra) => {
                shared.waits_in_flight.fetch_add(1, Ordering::SeqCst);
                in_flight = extra;
                stream.write_all(&response).await?;
            }
            _ => stream.write_all(&response).await?,
        }
        stream.flush().await?;
    }
}

/// Sends a surplus response, and counts it.
async fn send_extra<S>(stream: &mut S, extra: &[u8], shared: &Shared) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    stream.write_all(extra).await?;
    stream.flush().await?;
    shared.extras.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

fn unsigned(status: u16) -> Vec<u8> {
    let code = if status == 429 { "RATELIMIT_EXCEEDED" } else { "PARAM_ERROR" };
    let body = format!(r#"{{"code":"{code}","message":"of another request"}}"#);
    format!(
        "HTTP/1.1 {status} Told\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Reads a request without a body.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

/// Forwards the request to the good server, and returns its response.
async fn ask(upstream: SocketAddr, head: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(upstream).await?;
    stream.write_all(head).await?;
    let mut response = read_head(&mut stream).await?;
    let head = String::from_utf8_lossy(&response).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.map_or(0, |length| length.trim().parse().expect("a number"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    response.extend_from_slice(&body);
    Ok(response)
}
