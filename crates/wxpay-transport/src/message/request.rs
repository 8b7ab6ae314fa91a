//! A request, as data.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde::Serialize;

use crate::message::replay::Replay;
use crate::message::request_error::RequestError;
use crate::message::target::Target;
use crate::rate_limit::RateLimit;

/// Describes a call: what to send, what to name it in logs, and whether it may be repeated.
///
/// Typed calls make it for you. With it any `APIv3` call that has no typed form yet can be sent, signed
/// and verified just the same:
///
/// ```
/// use wxpay_transport::{Replay, Request, Target};
///
/// let target = Target::new("/v3/marketing/partner/delivery-plan/delivery-plans")?
///     .segment("1004")?
///     .segment("delivery-plans")?
///     .query("plan_id", "12000")?;
/// let request = Request::get("delivery_plans.list", target);
/// assert_eq!(request.replay(), Replay::Safe);
/// # Ok::<(), wxpay_transport::RequestError>(())
/// ```
#[derive(Clone)]
pub struct Request {
    method: Method,
    target: Target,
    headers: HeaderMap,
    body: Bytes,
    operation: Cow<'static, str>,
    replay: Replay,
    rate_limit: Option<RateLimit>,
    answered_by: Option<Arc<ResponseCheck>>,
}

/// Tells from a body whether it answers the request.
type ResponseCheck = dyn Fn(&[u8]) -> bool + Send + Sync;

/// Headers that the client sets itself.
const RESERVED: [HeaderName; 9] = [
    header::ACCEPT,
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::HOST,
    header::TRANSFER_ENCODING,
    header::USER_AGENT,
    HeaderName::from_static("wechatpay-serial"),
];

impl Request {
    /// Makes a request without a body. The operation is what logs call it: `delivery_plans.list`,
    /// say. Metrics and rate limits go by it: give a name of the interface, and nothing that differs
    /// with each request. A `GET` is [`Replay::Safe`], everything else [`Replay::Never`] until
    /// [`with_replay`](Self::with_replay) says otherwise.
    pub fn new(method: Method, operation: impl Into<Cow<'static, str>>, target: Target) -> Self {
        let replay = if method == Method::GET { Replay::Safe } else { Replay::Never };
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Self {
            method,
            target,
            headers,
            body,
            operation: operation.into(),
            replay,
            rate_limit: None,
            answered_by: None,
        }
    }

    /// Makes a `GET`.
    pub fn get(operation: impl Into<Cow<'static, str>>, target: Target) -> Self {
        Self::new(Method::GET, operation, target)
    }

    /// Makes a `POST`.
    pub fn post(operation: impl Into<Cow<'static, str>>, target: Target) -> Self {
        Self::new(Method::POST, operation, target)
    }

    /// Makes a `PATCH`.
    pub fn patch(operation: impl Into<Cow<'static, str>>, target: Target) -> Self {
        Self::new(Method::PATCH, operation, target)
    }

    /// Sets a JSON body.
    ///
    /// # Errors
    /// [`RequestError::NotJson`] when the value has no JSON form.
    pub fn with_json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, RequestError> {
        let body = serde_json::to_vec(value).map_err(|_| RequestError::NotJson)?;
        Ok(self.with_body(body))
    }

    /// Sets a body that is JSON already; exactly these bytes are signed and sent.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a header that is not signed.
    ///
    /// # Errors
    /// [`RequestError::ReservedHeader`] for one that the client sets itself.
    pub fn with_header(
        mut self,
        name: HeaderName,
        value: HeaderValue,
    ) -> Result<Self, RequestError> {
        if RESERVED.contains(&name) {
            return Err(RequestError::ReservedHeader { name: name.to_string() });
        }
        self.headers.append(name, value);
        Ok(self)
    }

    /// Says whether it may be repeated. Choose with care: [`Replay`].
    #[must_use]
    pub fn with_replay(mut self, replay: Replay) -> Self {
        self.replay = replay;
        self
    }

    /// Says how many such requests WeChat Pay takes in a second, for one `mchid`. Without it the request
    /// is not limited.
    #[must_use]
    pub fn with_rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// Says how the response to this request is told from responses to others: by the ids in its body, say.
    ///
    /// It is asked once the signature has been verified. A body that it does not take ends the attempt with
    /// [`UnverifiedCause::Foreign`](crate::UnverifiedCause::Foreign). Nothing else in a response of WeChat Pay
    /// says which request it belongs to, so a query is sent on a kept connection only
    /// with it ([`ConnectionReuse`](crate::ConnectionReuse)).
    ///
    /// ```
    /// use wxpay_transport::{Request, Target};
    ///
    /// let target = Target::new("/v3/pay/transactions/out-trade-no")?
    ///     .segment("1217752501201407033233368018")?
    ///     .query("mchid", "1900007291")?;
    /// let request = Request::get("transactions.query", target).answered_by(|body| {
    ///     serde_json::from_slice::<serde_json::Value>(body)
    ///         .is_ok_and(|order| order["out_trade_no"] == "1217752501201407033233368018")
    /// });
    /// # let _ = request;
    /// # Ok::<(), wxpay_transport::RequestError>(())
    /// ```
    #[must_use]
    pub fn answered_by(
        mut self,
        is_response: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.answered_by = Some(Arc::new(is_response));
        self
    }

    /// Tells whether it can tell its response from others.
    pub(crate) fn recognises_its_response(&self) -> bool {
        self.answered_by.is_some()
    }

    /// Tells whether a verified body may be its response.
    pub(crate) fn is_answered_by(&self, body: &[u8]) -> bool {
        self.answered_by.as_ref().is_none_or(|is_response| is_response(body))
    }

    /// Returns the method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Returns the further headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns what logs call it.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    pub(crate) fn operation_name(&self) -> Cow<'static, str> {
        self.operation.clone()
    }

    /// Returns how many such requests WeChat Pay takes in a second, where that is known.
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.rate_limit
    }

    /// Returns whether it may be repeated.
    pub fn replay(&self) -> Replay {
        self.replay
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("operation", &self.operation)
            .field("method", &self.method)
            .field("target", &self.target)
            .field("body", &format_args!("[{} bytes]", self.body.len()))
            .field("replay", &self.replay)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_get_is_safe_by_itself() {
        let target = || Target::new("/v3/x").unwrap();
        assert_eq!(Request::get("x", target()).replay(), Replay::Safe);
        assert_eq!(Request::post("x", target()).replay(), Replay::Never);
        assert_eq!(Request::patch("x", target()).replay(), Replay::Never);
    }

    #[test]
    fn headers_of_the_client_cannot_be_set() {
        let request = || Request::get("x", Target::new("/v3/x").unwrap());
        let value = HeaderValue::from_static("x");
        for name in RESERVED {
            let refused = request().with_header(name.clone(), value.clone());
            assert!(matches!(refused, Err(RequestError::ReservedHeader { .. })), "{name}");
        }
        let name = HeaderName::from_static("accept-language");
        assert_eq!(request().with_header(name.clone(), value).unwrap().headers()[&name], "x");
    }
}
