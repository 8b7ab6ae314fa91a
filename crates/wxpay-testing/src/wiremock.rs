//! WeChat Pay behind a server of wiremock.

use std::sync::Arc;

use wiremock::{Request, Respond, ResponseTemplate};

use crate::request::RawRequest;
use crate::wechat_pay::WechatPay;

/// Responds as WeChat Pay on a [`MockServer`](wiremock::MockServer) of yours, beside your other mocks.
///
/// wiremock parses the request target with the `url` crate, which resolves dot segments (`..`, `%2e%2e`) before this
/// sees them.
///
/// ```
/// use wiremock::{Mock, MockServer, matchers::path_regex};
/// use wxpay_testing::{WechatPay, WiremockResponder};
///
/// # #[tokio::main]
/// # async fn main() {
/// let server = MockServer::start().await;
/// let wechat_pay = WechatPay::builder().build();
/// let responder = WiremockResponder::new(wechat_pay.clone());
/// Mock::given(path_regex("^/v3/")).respond_with(responder).mount(&server).await;
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct WiremockResponder(Arc<WechatPay>);

impl WiremockResponder {
    /// Responds as this WeChat Pay, with its keys, plans and misbehaviour.
    pub fn new(wechat_pay: Arc<WechatPay>) -> Self {
        Self(wechat_pay)
    }
}

impl Respond for WiremockResponder {
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
