//! The gateway, on wiremock.

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

/// A local WeChat Pay gateway on `127.0.0.1`, for tests.
///
/// It dereferences to [`WechatPay`], which has keys, plans, journal and misbehaviour. It stops when it
/// is dropped.
///
/// wiremock parses the request target with the `url` crate, which resolves dot segments before the
/// gateway sees them; if each byte of the target matters, use [`WireServer`](crate::WireServer).
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

/// The server, dropped on its own thread.
///
/// Dropping it waits for a lock, and spins there forever in a task that has used up its cooperative
/// budget of Tokio.
struct Server(Option<MockServer>);

impl Drop for Server {
    fn drop(&mut self) {
        let server = self.0.take();
        // If no thread can be spawned, it is dropped here.
        if let Ok(ending) = std::thread::Builder::new().spawn(move || drop(server)) {
            let _ = ending.join();
        }
    }
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
    pub async fn start_on(
        listener: TcpListener,
        on_request: impl Fn(&Entry) + Send + Sync + 'static,
    ) -> Self {
        Self::run(listener, WechatPay::builder().on_request(on_request).build()).await
    }

    async fn run(listener: TcpListener, wechat_pay: Arc<WechatPay>) -> Self {
        // The gateway keeps its own journal; wiremock's would keep each Authorization.
        let builder = MockServer::builder().listener(listener).disable_request_recording();
        let server = builder.start().await;
        Mock::given(any()).respond_with(Responder(Arc::clone(&wechat_pay))).mount(&server).await;
        let address = server.uri();
        Self { address, _server: Server(Some(server)), wechat_pay }
    }

    /// Returns its address: `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        self.address.clone()
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
