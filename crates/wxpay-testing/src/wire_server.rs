//! The gateway on hyper and rustls: real TLS, exact bytes, and connection faults.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::fault::{Fault, Faults, How, Point};
use crate::faulty_io::{FaultyIo, Script, Socket};
use crate::live::{Live, LiveConnection};
use crate::request::RawRequest;
use crate::server_tls::{ServerTls, acceptor};
use crate::wechat_pay::WechatPay;
use crate::wire_body::{Manner, WireBody};
use crate::wire_server_builder::WireServerBuilder;

/// A gateway with real TLS, and connections that are reset, closed or stalled at chosen points. It runs on the
/// runtime that starts it.
///
/// It dereferences to [`WechatPay`], as [`Gateway`](crate::Gateway) does, and stops when it is
/// dropped.
///
/// ```
/// use wxpay_testing::{Fault, How, Point, WireServer};
///
/// # #[tokio::main]
/// # async fn main() {
/// let server = WireServer::start_tls(Default::default()).await;
/// assert!(server.base_url().starts_with("https://127.0.0.1:"));
/// // The next request is carried out, and its connection is reset before the response.
/// server.fault_once(Fault::new(Point::Executed, How::Reset));
/// # }
/// ```
pub struct WireServer {
    address: SocketAddr,
    is_tls: bool,
    wire: Arc<Wire>,
    accepting: JoinHandle<()>,
}

struct Wire {
    wechat_pay: Arc<WechatPay>,
    faults: Arc<Faults>,
    close_idle_after: Option<Duration>,
    /// Number of requests on each connection.
    requests: Mutex<Vec<usize>>,
    live: Live,
    disconnect: broadcast::Sender<How>,
}

impl Wire {
    fn requests(&self) -> MutexGuard<'_, Vec<usize>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WireServer {
    /// Starts a server without TLS on a free port.
    ///
    /// # Panics
    /// If there is no free port.
    #[expect(clippy::expect_used, reason = "a test without a port cannot go on")]
    pub async fn start_plain() -> Self {
        Self::builder().start().await.expect("a free port")
    }

    /// Starts a server with TLS on a free port. [`client_config`](crate::client_config) trusts it.
    ///
    /// # Panics
    /// If there is no free port.
    #[expect(clippy::expect_used, reason = "a test without a port cannot go on")]
    pub async fn start_tls(tls: ServerTls) -> Self {
        Self::builder().tls(tls).start().await.expect("a free port")
    }

    /// Returns a builder, to set its port, its TLS, when it closes idle connections, or the [`WechatPay`]
    /// behind it.
    pub fn builder() -> WireServerBuilder {
        WireServerBuilder::default()
    }

    pub(crate) async fn run(builder: WireServerBuilder) -> io::Result<Self> {
        let listener = TcpListener::bind((builder.ip, builder.port)).await?;
        Self::serve(listener, builder)
    }

    pub(crate) fn serve(listener: TcpListener, builder: WireServerBuilder) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let is_tls = builder.tls.is_some();
        let wire = Arc::new(Wire {
            wechat_pay: builder.wechat_pay.unwrap_or_else(|| WechatPay::builder().build()),
            faults: Arc::default(),
            close_idle_after: builder.close_idle_after,
            requests: Mutex::default(),
            live: Live::default(),
            disconnect: broadcast::channel(16).0,
        });
        let accepting =
            tokio::spawn(accept(listener, builder.tls.map(acceptor), Arc::clone(&wire)));
        Ok(Self { address, is_tls, wire, accepting })
    }

    /// Returns its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns `https://127.0.0.1:PORT` (or the address that was set), or the same with `http`.
    pub fn base_url(&self) -> String {
        format!("{}://{}", if self.is_tls { "https" } else { "http" }, self.address)
    }

    /// Applies this fault to the next connection or request; takes precedence over `fault_always`.
    pub fn fault_once(&self, fault: Fault) {
        self.wire.faults.once(fault);
    }

    /// Applies this fault to every connection or request from now on; `None` ends all faults.
    pub fn fault_always(&self, fault: Option<Fault>) {
        self.wire.faults.always(fault);
    }

    /// Ends all open connections: [`How::Close`] or [`How::Reset`].
    pub fn disconnect(&self, how: How) {
        // There is no receiver without a connection.
        let _ = self.wire.disconnect.send(how);
    }

    /// Returns the number of accepted connections.
    pub fn connections(&self) -> usize {
        self.wire.requests().len()
    }

    /// Returns the number of requests that were read completely on each connection, in the order in which
    /// the connections were accepted.
    pub fn requests_per_connection(&self) -> Vec<usize> {
        self.wire.requests().clone()
    }

    /// Waits until every accepted connection has ended, or is [stalled](How::Stall): after that, nothing
    /// more arrives from dropped clients.
    ///
    /// Waits as long as a client keeps a connection open.
    pub async fn settled(&self) {
        self.wire.live.none().await;
    }

    /// Returns the state behind it, to share with another server.
    pub fn wechat_pay(&self) -> &Arc<WechatPay> {
        &self.wire.wechat_pay
    }
}

impl Deref for WireServer {
    type Target = WechatPay;

    fn deref(&self) -> &WechatPay {
        &self.wire.wechat_pay
    }
}

impl Drop for WireServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for WireServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireServer")
            .field("base_url", &self.base_url())
            .field("wechat_pay", &self.wire.wechat_pay)
            .finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, wire: Arc<Wire>) {
    // Ends all connections when the server is dropped.
    let mut serving = JoinSet::new();
    loop {
        let Ok((tcp, _)) = listener.accept().await else {
            // No file descriptor is left, say: others may be closed soon.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        while serving.try_join_next().is_some() {}
        let connection = {
            let mut requests = wire.requests();
            requests.push(0);
            requests.len() - 1
        };
        let (live, disconnect) = (wire.live.begin(), wire.disconnect.subscribe());
        serving.spawn(serve(tcp, tls.clone(), Arc::clone(&wire), connection, live, disconnect));
    }
}

async fn serve(
    tcp: TcpStream,
    tls: Option<TlsAcceptor>,
    wire: Arc<Wire>,
    connection: usize,
    live: LiveConnection,
    mut disconnect: broadcast::Receiver<How>,
) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let reset = Arc::new(AtomicBool::new(false));
    let socket = Socket::new(tcp, Arc::clone(&reset));
    let (faults, end) = (Arc::clone(&wire.faults), Arc::clone(&reset));
    let script = Arc::new(Script::new(faults, end, wire.close_idle_after, live));
    let serving = async {
        if let Some(fault) = wire.faults.take(|at| at == Point::Accept) {
            // Keeps the socket open meanwhile.
            let _socket = socket;
            return break_off(&script, fault.how).await;
        }
        match tls {
            None => speak_http(socket, &script, &wire, connection).await,
            Some(tls) => speak_http(tls.accept(socket).await?, &script, &wire, connection).await,
        }
    };
    // Pinned here, it outlives the select below, and with it the socket.
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => ended,
        how = disconnect.recv() => {
            reset.store(how == Ok(How::Reset), Ordering::Relaxed);
            Ok(())
        }
    }
}

async fn break_off(script: &Script, how: How) -> io::Result<()> {
    match how {
        How::Stall => {
            script.stand_still();
            std::future::pending().await
        }
        _ => Err(script.end(how)),
    }
}

async fn speak_http<S>(
    stream: S,
    script: &Arc<Script>,
    wire: &Wire,
    connection: usize,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    if let Some(fault) = wire.faults.take(|at| at == Point::Handshake) {
        return break_off(script, fault.how).await;
    }
    let io = TokioIo::new(FaultyIo::new(stream, Arc::clone(script)));
    let service = service_fn(|request| response(request, wire, connection, script));
    http1::Builder::new().serve_connection(io, service).await.map_err(io::Error::other)
}

async fn response(
    request: Request<Incoming>,
    wire: &Wire,
    connection: usize,
    script: &Script,
) -> io::Result<Response<WireBody>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    if let Some(count) = wire.requests().get_mut(connection) {
        *count += 1;
    }
    if let Some(how) = script.fault_at(Point::Request) {
        break_off(script, how).await?;
    }
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let response = wire.wechat_pay.response(RawRequest {
        method: head.method.as_str(),
        target,
        headers: &head.headers,
        body: &body,
    });
    if let Some(how) = script.fault_at(Point::Executed) {
        break_off(script, how).await?;
    }
    tokio::time::sleep(response.delay).await;
    script.answered();
    let mut built = Response::builder().status(response.status);
    for (name, value) in response.headers {
        built = built.header(name, value);
    }
    let manner = response.file.unwrap_or(Manner::Whole);
    built.body(WireBody::new(response.body, manner)).map_err(io::Error::other)
}
