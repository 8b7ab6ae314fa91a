//! Calls that a test adds to the gateway.

use std::borrow::Cow;
use std::fmt;

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::request::RawRequest;
use crate::response::RawResponse;
use crate::wechat_pay::WechatPay;

/// A request to a call that a test added with [`WechatPay::on`]. It is authentic: its signature was verified.
#[derive(Clone, Copy)]
pub struct CustomRequest<'a>(RawRequest<'a>);

impl<'a> CustomRequest<'a> {
    /// Returns the method.
    pub fn method(&self) -> &'a str {
        self.0.method
    }

    /// Returns path and query, as received.
    pub fn target(&self) -> &'a str {
        self.0.target
    }

    /// Returns the path, as received: percent-encoded.
    pub fn path(&self) -> &'a str {
        split(self.0.target).0
    }

    /// Returns the query without its `?`, as received; empty if there is none.
    pub fn query(&self) -> &'a str {
        split(self.0.target).1
    }

    /// Returns a segment of the path, percent-decoded once; the first one, `v3` for most calls, is 0.
    pub fn segment(&self, position: usize) -> Option<Cow<'a, str>> {
        let segment = self.path().split('/').skip(1).nth(position)?;
        percent_decode_str(segment).decode_utf8().ok()
    }

    /// Returns the headers, with the signature.
    pub fn headers(&self) -> &'a HeaderMap {
        self.0.headers
    }

    /// Returns the value of a header that occurs exactly once.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.0.header(name)
    }

    /// Returns the body, as received.
    pub fn body(&self) -> &'a [u8] {
        self.0.body
    }

    /// Parses the body as JSON; `None` if it is not JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(self.0.body).ok()
    }
}

/// Omits headers and body.
impl fmt::Debug for CustomRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomRequest")
            .field("method", &self.0.method)
            .field("target", &self.0.target)
            .finish_non_exhaustive()
    }
}

/// The response of a call that a test added with [`WechatPay::on`]. The gateway signs it.
#[derive(Debug, Clone)]
pub struct CustomResponse(RawResponse);

impl CustomResponse {
    /// Creates a response with a JSON body.
    pub fn json(status: u16, body: &Value) -> Self {
        Self(RawResponse::json(status, body))
    }

    /// Creates a response with a body that already is JSON, sent as it is.
    pub fn json_text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self(RawResponse::json_text(status, body))
    }

    /// Creates a response without a body.
    pub fn empty(status: u16) -> Self {
        Self(RawResponse::empty(status))
    }

    /// Creates an error response: an object with `code` and `message`.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self(RawResponse::error(status, code, message))
    }
}

type Handler = Box<dyn Fn(CustomRequest<'_>) -> CustomResponse + Send + Sync>;

/// A call that a test added.
pub(crate) struct CustomRoute {
    method: String,
    path: String,
    handler: Handler,
}

impl CustomRoute {
    /// Returns whether it is called like this.
    pub(crate) fn is(&self, method: &str, target: &str) -> bool {
        let (wanted, given) = (self.path.split('/'), split(target).0.split('/'));
        let is_wildcard = |segment: &str| segment.starts_with('{') && segment.ends_with('}');
        self.method == method
            && wanted.clone().count() == given.clone().count()
            && wanted.zip(given).all(|(wanted, given)| {
                wanted == given || (is_wildcard(wanted) && !given.is_empty())
            })
    }

    pub(crate) fn response(&self, request: RawRequest<'_>) -> RawResponse {
        (self.handler)(CustomRequest(request)).0
    }
}

impl WechatPay {
    /// Adds a call, or replaces one. The handler gets each authentic request to it, and returns the response, which the
    /// gateway signs; misbehaviour applies as to every call.
    ///
    /// A segment of the path in braces, such as `{transaction_id}`, stands for any one segment. If several calls fit,
    /// the one that was added last is taken, before those of the gateway itself.
    ///
    /// ```
    /// use serde_json::json;
    /// use wxpay_testing::{CustomResponse, Gateway};
    ///
    /// # #[tokio::main]
    /// # async fn main() {
    /// let gateway = Gateway::start().await;
    /// gateway.on("GET", "/v3/pay/transactions/id/{transaction_id}", |request| {
    ///     let id = request.segment(4).unwrap_or_default();
    ///     CustomResponse::json(200, &json!({ "transaction_id": id, "trade_state": "SUCCESS" }))
    /// });
    /// # }
    /// ```
    pub fn on(
        &self,
        method: impl Into<String>,
        path: impl Into<String>,
        handler: impl Fn(CustomRequest<'_>) -> CustomResponse + Send + Sync + 'static,
    ) {
        let (method, path) = (method.into(), path.into());
        self.add_custom_route(CustomRoute { method, path, handler: Box::new(handler) });
    }
}

/// Splits a target into path and query.
fn split(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_in_braces_is_any_one_segment() {
        let route = |method: &str, path: &str| CustomRoute {
            method: method.to_owned(),
            path: path.to_owned(),
            handler: Box::new(|_| CustomResponse::empty(204)),
        };
        let call = route("GET", "/v3/pay/{id}/x");
        for target in ["/v3/pay/7/x", "/v3/pay/a%2Fb/x?mchid=1"] {
            assert!(call.is("GET", target), "{target}");
        }
        for target in ["/v3/pay//x", "/v3/pay/7/8/x", "/v3/pay/7", "/v3/pay/7/x/", "/v3/pay/7/y"] {
            assert!(!call.is("GET", target), "{target}");
        }
        assert!(!call.is("POST", "/v3/pay/7/x"));
    }
}
