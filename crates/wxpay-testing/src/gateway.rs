//! The gateway on wiremock.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::ops::Deref;
use std::sync::Arc;

use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::journal::Entry;
use crate::request::RawRequest;
use crate::wechat_pay::WechatPay;

/// Runs a local WeChat Pay gateway on `127.0.0.1`, for tests.
///
/// It dereferences to [`WechatPay`], which has keys, plans, journal and misbehaviour. It stops when it
/// is dropped.
///
/// wiremock reads the request target with the `url` crate, which resolves dot segments before the
/// gateway sees them; where each byte of the target counts, use [`WireServer`](crate::WireServer).
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
    address: String,
    _server: Server,
    wechat_pay: Arc<WechatPay>,
}

/// The server, whose end is that of a thread of its own.
///
/// It waits for a lock when it is dropped, and spins there for ever in a task that has used up its
/// share of Tokio's time by then (its cooperative budget).
struct Server(Option<MockServer>);

impl Drop for Server {
    fn drop(&mut self) {
        let server = self.0.take();
        // Where there is no thread to be had, it is dropped here.
        if let Ok(ending) = std::thread::Builder::new().spawn(move || drop(server)) {
            let _ = ending.join();
        }
    }
}

impl Gateway {
    /// Starts one on a free port, with the plans `12000` (`DELIVERING`), `12001` (`PAUSED`) and
    /// `12002` (`CREATED`) of the brand `1004`.
    ///
    /// # Panics
    /// When there is no free port.
    #[expect(clippy::expect_used, reason = "a test without a port cannot go on")]
    pub async fn start() -> Self {
        Self::builder().start().await.expect("a free port")
    }

    /// Sets one up: its port, or the [`WechatPay`] behind it.
    pub fn builder() -> GatewayBuilder {
        GatewayBuilder::default()
    }

    /// Starts one on a listener of one's own, and calls back for each request, once its response is
    /// known.
    pub async fn start_on(
        listener: TcpListener,
        on_request: impl Fn(&Entry) + Send + Sync + 'static,
    ) -> Self {
        Self::run(listener, WechatPay::builder().on_request(on_request).build()).await
    }

    async fn run(listener: TcpListener, wechat_pay: Arc<WechatPay>) -> Self {
        // The journal is the gateway's own; wiremock's would keep each Authorization.
        let builder = MockServer::builder().listener(listener).disable_request_recording();
        let server = builder.start().await;
        Mock::given(any()).respond_with(Responder(Arc::clone(&wechat_pay))).mount(&server).await;
        let address = server.uri();
        Self { address, _server: Server(Some(server)), wechat_pay }
    }

    /// Returns where it listens: `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        self.address.clone()
    }

    /// Returns what it puts on the wire, to be shared with another server.
    pub fn wechat_pay(&self) -> &Arc<WechatPay> {
        &self.wechat_pay
    }
}

/// Sets up a [`Gateway`].
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

    /// Sets a listener in place of a port.
    #[must_use]
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Sets what is put on the wire, with its own plans, clock, and so on.
    #[must_use]
    pub fn wechat_pay(mut self, wechat_pay: Arc<WechatPay>) -> Self {
        self.wechat_pay = Some(wechat_pay);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// What the operating system says when the port cannot be had.
    pub async fn start(self) -> io::Result<Gateway> {
        let listener = match self.listener {
            Some(listener) => listener,
            None => TcpListener::bind(("127.0.0.1", self.port))?,
        };
        let wechat_pay = self.wechat_pay.unwrap_or_else(|| WechatPay::builder().build());
        Ok(Gateway::run(listener, wechat_pay).await)
    }
}

impl Deref for Gateway {
    type Target = WechatPay;

    fn deref(&self) -> &WechatPay {
        &self.wechat_pay
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

struct Responder(Arc<WechatPay>);

impl Respond for Responder {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let target = match request.url.query() {
            Some(query) => format!("{}?{query}", request.url.path()),
            None => request.url.path().to_owned(),
        };
        let response = self.0.response(RawRequest {
            method: request.method.as_str(),
            target: &target,
            headers: &request.headers,
            body: &request.body,
        });
        let template = ResponseTemplate::new(response.status).set_delay(response.delay);
        let template = response
            .headers
            .into_iter()
            .fold(template, |template, (name, value)| template.insert_header(name, value));
        if response.body.is_empty() { template } else { template.set_body_bytes(response.body) }
    }
}
