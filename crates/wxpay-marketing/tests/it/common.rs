//! Clients of the gateway.

use std::fmt;

use wxpay_auth::{BrandId, DateTime, FileKeySigner, KeyRing};
use wxpay_marketing::{DeliveryPlans, PlanId};
use wxpay_testing::{Entry, WechatPay};
use wxpay_transport::{
    BaseUrl, Client, Error, Method, NoRetry, Proxy, Request, Response, Transport, async_trait,
};

pub(crate) type TestClient = Client<FileKeySigner, KeyRing>;

/// Returns a client that makes one attempt.
pub(crate) fn client(wechat_pay: &WechatPay, base_url: &str) -> TestClient {
    Client::builder(wechat_pay.mchid(), wechat_pay.signer(), wechat_pay.key_ring())
        .base_url(BaseUrl::new(base_url).unwrap())
        .proxy(Proxy::none())
        .retry(NoRetry)
        .build()
        .unwrap()
}

pub(crate) fn plans(wechat_pay: &WechatPay, base_url: &str) -> DeliveryPlans<TestClient> {
    DeliveryPlans::new(client(wechat_pay, base_url))
}

pub(crate) fn brand(id: &str) -> BrandId {
    BrandId::new(id).unwrap()
}

pub(crate) fn plan_id(id: &str) -> PlanId {
    PlanId::new(id).unwrap()
}

pub(crate) fn at(text: &str) -> DateTime {
    text.parse().unwrap()
}

/// Returns the requests with this method.
pub(crate) fn requests(wechat_pay: &WechatPay, method: &str) -> Vec<Entry> {
    wechat_pay.journal().into_iter().filter(|entry| entry.method() == method).collect()
}

/// A transport that changes requests, and knows nothing of the check of their responses.
pub(crate) struct Changing<F>(pub(crate) TestClient, pub(crate) F);

impl<F> fmt::Debug for Changing<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Changing")
    }
}

#[async_trait]
impl<F: Fn(Request) -> Request + Send + Sync> Transport for Changing<F> {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        let unchecked =
            Request::new(request.method().clone(), "unchecked", request.target().clone())
                .with_body(request.body().clone());
        self.0.send((self.1)(unchecked)).await
    }
}

/// A transport that calls a function before each request.
pub(crate) struct Before<F>(pub(crate) TestClient, pub(crate) F);

impl<F> fmt::Debug for Before<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Before")
    }
}

#[async_trait]
impl<F: Fn(&Request) + Send + Sync> Transport for Before<F> {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        (self.1)(&request);
        self.0.send(request).await
    }
}

/// A transport that calls a function before each `POST`.
pub(crate) struct BeforePost<F>(pub(crate) TestClient, pub(crate) F);

impl<F> fmt::Debug for BeforePost<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BeforePost")
    }
}

#[async_trait]
impl<F: Fn() + Send + Sync> Transport for BeforePost<F> {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        if request.method() == Method::POST {
            (self.1)();
        }
        self.0.send(request).await
    }
}
