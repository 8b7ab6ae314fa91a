//! The gateway on a thread of its own.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::journal::Entry;
use crate::wechat_pay::WechatPay;
use crate::wire_server::WireServer;
use crate::wire_server_builder::WireServerBuilder;

/// A local WeChat Pay gateway on `127.0.0.1`, for tests.
///
/// It dereferences to [`WechatPay`], which has keys, plans, journal and misbehaviour. It runs on a thread of its own,
/// so that it responds whatever the runtimes of a test do, and stops when it is dropped. For TLS and faults of
/// connections there is [`WireServer`].
///
/// ```
/// use wxpay_testing::{Gateway, PlanState};
///
/// # #[tokio::main]
/// # async fn main() {
/// let gateway = Gateway::start().await;
/// assert!(gateway.base_url().starts_with("http://127.0.0.1:"));
/// assert_eq!(gateway.plan_state("12000"), Some(PlanState::Delivering));
/// # }
/// ```
pub struct Gateway {
    address: SocketAddr,
    wechat_pay: Arc<WechatPay>,
    /// Ends the thread when it is dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Closed by the thread when it ends.
    has_ended: Mutex<mpsc::Receiver<()>>,
}

impl Gateway {
    /// Starts a gateway on a free port, with the plans `12000` (`DELIVERING`), `12001` (`PAUSED`) and
    /// `12002` (`CREATED`) of the brand `1004`.
    ///
    /// # Panics
    /// If there is no free port.
    #[expect(clippy::expect_used, reason = "a test without a port cannot go on")]
    pub async fn start() -> Self {
        Self::builder().start().await.expect("a free port")
    }

    /// Returns a builder, to set its port or the [`WechatPay`] behind it.
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::default()
    }

    /// Starts a gateway on a given listener, and calls `on_request` for each request, once its response is
    /// known.
    ///
    /// # Panics
    /// If the operating system refuses a thread, or to serve the listener.
    #[expect(clippy::expect_used, reason = "a test without a server cannot go on")]
    pub async fn start_on(
        listener: TcpListener,
        on_request: impl Fn(&Entry) + Send + Sync + 'static,
    ) -> Self {
        let wechat_pay = WechatPay::builder().on_request(on_request).build();
        Self::run(listener, wechat_pay).await.expect("a server")
    }

    async fn run(listener: TcpListener, wechat_pay: Arc<WechatPay>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let server = WireServerBuilder::default().wechat_pay(Arc::clone(&wechat_pay));
        let (stop, stopped) = oneshot::channel();
        let (started, has_started) = oneshot::channel();
        let serve = async move {
            let server = tokio::net::TcpListener::from_std(listener)
                .and_then(|listener| WireServer::serve(listener, server));
            let (server, result) = server.map_or_else(|e| (None, Err(e)), |s| (Some(s), Ok(())));
            // Nobody waits any more if the start was given up; then `stop` is dropped, too.
            let _ = started.send(result);
            let _ = stopped.await;
            drop(server);
        };
        let thread = thread::Builder::new().name("wxpay-gateway".to_owned());
        let (ends, has_ended) = mpsc::channel();
        let thread = thread.spawn(move || {
            runtime.block_on(serve);
            drop(runtime);
            drop(ends);
        })?;
        has_started.await.map_err(io::Error::other)??;
        let (stop, thread, has_ended) = (Some(stop), Some(thread), Mutex::new(has_ended));
        Ok(Self { address, wechat_pay, stop, thread, has_ended })
    }

    /// Returns its address: `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the state behind it, to share with another server.
    pub fn wechat_pay(&self) -> &Arc<WechatPay> {
        &self.wechat_pay
    }
}

/// Builds a [`Gateway`].
#[derive(Debug, Default)]
pub struct GatewayBuilder {
    listener: Option<TcpListener>,
    port: u16,
    wechat_pay: Option<Arc<WechatPay>>,
}

impl GatewayBuilder {
    /// Sets the port on `127.0.0.1`; 0, the default, takes a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets a listener instead of a port.
    #[must_use]
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Sets the state behind it, with its own plans, clock, and so on.
    #[must_use]
    pub fn wechat_pay(mut self, wechat_pay: Arc<WechatPay>) -> Self {
        self.wechat_pay = Some(wechat_pay);
        self
    }

    /// Starts the gateway.
    ///
    /// # Errors
    /// The error of the operating system if the port is not available.
    pub async fn start(self) -> io::Result<Gateway> {
        let listener = match self.listener {
            Some(listener) => listener,
            None => TcpListener::bind(("127.0.0.1", self.port))?,
        };
        let wechat_pay = self.wechat_pay.unwrap_or_else(|| WechatPay::builder().build());
        Gateway::run(listener, wechat_pay).await
    }
}

impl Deref for Gateway {
    type Target = WechatPay;

    fn deref(&self) -> &WechatPay {
        &self.wechat_pay
    }
}

impl Drop for Gateway {
    /// Waits for its thread, so that its port is free afterwards; but not for long: its `on_request` may wait for
    /// what drops it.
    fn drop(&mut self) {
        const LONGEST: Duration = Duration::from_secs(5);
        drop(self.stop.take());
        // Its own `on_request` may drop it: a thread cannot wait for itself.
        let is_other = |thread: &JoinHandle<()>| thread.thread().id() != thread::current().id();
        if self.thread.take().is_some_and(|thread| is_other(&thread)) {
            let has_ended = self.has_ended.get_mut().unwrap_or_else(PoisonError::into_inner);
            let _ = has_ended.recv_timeout(LONGEST);
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("base_url", &self.base_url())
            .field("wechat_pay", &self.wechat_pay)
            .finish_non_exhaustive()
    }
}
