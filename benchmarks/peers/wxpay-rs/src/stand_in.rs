//! Redirects requests for WeChat Pay to the benchmark's server.

use async_trait::async_trait;
use wxpay_rs::http::client::HttpResponse;
use wxpay_rs::http::{HttpClient, ReqwestHttpClient};
use wxpay_rs::WxPayResult;

type Headers = Vec<(String, String)>;

/// Replaces the host of each URL. The crate's own host is a constant, and it recommends a custom HTTP client
/// for tests; this one delegates to the crate's.
pub struct StandIn {
    http: ReqwestHttpClient,
    host: String,
    instead: String,
}

impl StandIn {
    pub fn new(http: ReqwestHttpClient, host: &str, instead: String) -> Self {
        Self { http, host: host.to_owned(), instead }
    }

    fn url(&self, url: &str) -> String {
        let path = url.strip_prefix(&self.host).unwrap_or(url);
        [&self.instead, path].concat()
    }
}

#[async_trait]
impl HttpClient for StandIn {
    async fn get(&self, url: &str, headers: Headers) -> WxPayResult<HttpResponse> {
        self.http.get(&self.url(url), headers).await
    }

    async fn post(&self, url: &str, headers: Headers, body: &str) -> WxPayResult<HttpResponse> {
        self.http.post(&self.url(url), headers, body).await
    }

    async fn put(&self, url: &str, headers: Headers, body: &str) -> WxPayResult<HttpResponse> {
        self.http.put(&self.url(url), headers, body).await
    }

    async fn delete(&self, url: &str, headers: Headers) -> WxPayResult<HttpResponse> {
        self.http.delete(&self.url(url), headers).await
    }

    async fn patch(&self, url: &str, headers: Headers, body: &str) -> WxPayResult<HttpResponse> {
        self.http.patch(&self.url(url), headers, body).await
    }
}
