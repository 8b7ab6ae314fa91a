//! The gateway on wiremock.

use std::fmt;
use std::net::TcpListener;
use std::ops::Deref;
use std::sync::Arc;

use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::authenticate::RawRequest;
use crate::journal::Entry;
use crate::wechat_pay::{OnRequest, Shared, WechatPay};

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
    server: MockServer,
    wechat_pay: Shared,
}

impl Gateway {
    /// Starts one on a free port, with the plans `12000` (`DELIVERING`), `12001` (`PAUSED`) and
    /// `12002` (`CREATED`) of the brand `1004`.
    pub async fn start() -> Self {
        Self::run(MockServer::builder(), None).await
    }

    /// Starts one on a listener of one's own, and calls back for each request, once it has been
    /// answered.
    pub async fn start_on(
        listener: TcpListener,
        on_request: impl Fn(&Entry) + Send + Sync + 'static,
    ) -> Self {
        Self::run(MockServer::builder().listener(listener), Some(Box::new(on_request))).await
    }

    async fn run(builder: wiremock::MockServerBuilder, on_request: Option<OnRequest>) -> Self {
        // The journal is the gateway's own; wiremock's would keep each Authorization.
        let server = builder.disable_request_recording().start().await;
        let wechat_pay = Arc::new(WechatPay::new(on_request));
        Mock::given(any()).respond_with(Responder(Arc::clone(&wechat_pay))).mount(&server).await;
        Self { server, wechat_pay }
    }

    /// Returns where it listens: `http://127.0.0.1:PORT`.
    pub fn base_url(&self) -> String {
        self.server.uri()
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

struct Responder(Shared);

impl Respond for Responder {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let target = match request.url.query() {
            Some(query) => format!("{}?{query}", request.url.path()),
            None => request.url.path().to_owned(),
        };
        let answer = self.0.answer(RawRequest {
            method: request.method.as_str(),
            target: &target,
            headers: &request.headers,
            body: &request.body,
        });
        let template = ResponseTemplate::new(answer.status).set_delay(answer.delay);
        let template = answer
            .headers
            .into_iter()
            .fold(template, |template, (name, value)| template.insert_header(name, value));
        if answer.body.is_empty() { template } else { template.set_body_bytes(answer.body) }
    }
}
