//! Requests.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use serde::Serialize;
use wxpay_auth::WechatpaySerial;

use crate::message::interface_limit::RateLimit;
use crate::message::multipart::Form;
use crate::message::replay::Replay;
use crate::message::request_error::RequestError;
use crate::message::target::Target;
use crate::message::upload::Upload;

/// A request: what to send, its name in logs, and whether it may be repeated.
///
/// Typed calls build it for you. Use it to send any `APIv3` call that has no typed form yet; it is signed
/// and verified in the same way:
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
    /// Of an upload, whose body is not JSON.
    form: Option<Form>,
    /// Whether the query contains a token.
    has_secret_query: bool,
    operation: Cow<'static, str>,
    replay: Replay,
    rate_limit: Option<RateLimit>,
    recognised_by: Option<Arc<ResponseCheck>>,
    wechatpay_serial: Option<WechatpaySerial>,
}

/// Returns whether a body is the response to the request.
type ResponseCheck = dyn Fn(&[u8]) -> bool + Send + Sync;

/// Headers set by the client.
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
    /// Creates a request without a body. The operation is its name in logs, such as
    /// `delivery_plans.list`. Metrics and rate limits use it as a key: it must name the interface, and not
    /// differ from request to request. A `GET` is [`Replay::Safe`], everything else [`Replay::Never`],
    /// unless changed by [`with_replay`](Self::with_replay).
    pub fn new(method: Method, operation: impl Into<Cow<'static, str>>, target: Target) -> Self {
        let replay = if method == Method::GET { Replay::Safe } else { Replay::Never };
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Self {
            method,
            target,
            headers,
            body,
            form: None,
            has_secret_query: false,
            operation: operation.into(),
            replay,
            rate_limit: None,
            recognised_by: None,
            wechatpay_serial: None,
        }
    }

    /// Creates a `GET` request.
    pub fn get(operation: impl Into<Cow<'static, str>>, target: Target) -> Self {
        Self::new(Method::GET, operation, target)
    }

    /// Creates a `POST` request.
    pub fn post(operation: impl Into<Cow<'static, str>>, target: Target) -> Self {
        Self::new(Method::POST, operation, target)
    }

    /// Creates a `PATCH` request.
    pub fn patch(operation: impl Into<Cow<'static, str>>, target: Target) -> Self {
        Self::new(Method::PATCH, operation, target)
    }

    /// Creates a `POST` request that uploads a file, as `multipart/form-data`.
    ///
    /// Only the part `meta` is signed, not the file; its SHA-256 in `meta` binds it to the signature. The response is
    /// verified as any other.
    ///
    /// An upload has no number by which the server recognises a repetition: repeating it makes another URL or id. So
    /// it is [`Replay::Never`], unless [`with_replay`](Self::with_replay) says that another one does no harm.
    ///
    /// # Errors
    /// [`RequestError`] if the file is empty or too large, or if its name, its media type or a given `meta` cannot be
    /// used.
    pub fn upload(
        operation: impl Into<Cow<'static, str>>,
        target: Target,
        upload: Upload,
    ) -> Result<Self, RequestError> {
        let (form, body) = upload.encode()?;
        Ok(Self { form: Some(form), ..Self::post(operation, target).with_body(body) })
    }

    /// Sets a JSON body.
    ///
    /// # Errors
    /// [`RequestError::NotJson`] if the value cannot be serialized as JSON.
    pub fn with_json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, RequestError> {
        let body = serde_json::to_vec(value).map_err(|_| RequestError::NotJson)?;
        Ok(self.with_body(body))
    }

    /// Sets a body that already is JSON; exactly these bytes are signed and sent.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        (self.body, self.form) = (body.into(), None);
        self
    }

    /// Adds a header, which is not signed.
    ///
    /// # Errors
    /// [`RequestError::ReservedHeader`] for a header that the client sets.
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

    /// Sets the `Wechatpay-Serial`: the key that the encrypted fields of the body are for
    /// ([`EncryptedField::serial`](wxpay_auth::EncryptedField::serial)), and that WeChat Pay then signs its response
    /// with. Call it for each of them. Without it, the client sends the serial that its verifier prefers.
    ///
    /// The verifier of the client must hold this key: otherwise the outcome of the call is unknown.
    ///
    /// # Errors
    /// [`RequestError::SeveralSerials`] if another serial was set before: WeChat Pay decrypts all fields of a request
    /// with one key.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4013059044>
    pub fn with_wechatpay_serial(mut self, serial: &WechatpaySerial) -> Result<Self, RequestError> {
        match &self.wechatpay_serial {
            Some(first) if first != serial => {
                Err(RequestError::SeveralSerials { first: first.clone(), second: serial.clone() })
            }
            _ => {
                self.wechatpay_serial = Some(serial.clone());
                Ok(self)
            }
        }
    }

    /// Sets whether it may be repeated. Choose with care: see [`Replay`].
    #[must_use]
    pub fn with_replay(mut self, replay: Replay) -> Self {
        self.replay = replay;
        self
    }

    /// Sets how many such requests WeChat Pay accepts for an `mchid`. The default is no limit.
    #[must_use]
    pub fn with_rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// Sets a check that recognises the response to this request, for example by the ids in its body.
    ///
    /// It is called after the signature has been verified. If it returns `false`, the attempt ends with
    /// [`UnverifiedCause::Foreign`](crate::UnverifiedCause::Foreign). Nothing else in a response of WeChat Pay
    /// says which request it belongs to, so a query is sent on a kept connection only if it has this check
    /// ([`ConnectionReuse`](crate::ConnectionReuse)).
    ///
    /// ```
    /// use wxpay_transport::{Request, Target};
    ///
    /// let target = Target::new("/v3/pay/transactions/out-trade-no")?
    ///     .segment("1217752501201407033233368018")?
    ///     .query("mchid", "1900007291")?;
    /// let request = Request::get("transactions.query", target).recognised_by(|body| {
    ///     serde_json::from_slice::<serde_json::Value>(body)
    ///         .is_ok_and(|order| order["out_trade_no"] == "1217752501201407033233368018")
    /// });
    /// # let _ = request;
    /// # Ok::<(), wxpay_transport::RequestError>(())
    /// ```
    #[must_use]
    pub fn recognised_by(
        mut self,
        is_response: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.recognised_by = Some(Arc::new(is_response));
        self
    }

    /// Returns whether it has a check that recognises its response.
    pub(crate) fn recognises_its_response(&self) -> bool {
        self.recognised_by.is_some()
    }

    /// Returns whether a verified body may be its response.
    pub(crate) fn is_recognised_by(&self, body: &[u8]) -> bool {
        self.recognised_by.as_ref().is_none_or(|is_response| is_response(body))
    }

    /// Returns the method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Returns the target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Returns the additional headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the `Wechatpay-Serial` that was set; `None` if the client chooses it.
    pub fn wechatpay_serial(&self) -> Option<&WechatpaySerial> {
        self.wechatpay_serial.as_ref()
    }

    /// Returns the body, as it is sent.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns what is signed of the body: all of it, or the part `meta` of an upload.
    pub fn signed_body(&self) -> &Bytes {
        self.form.as_ref().map_or(&self.body, |form| &form.meta)
    }

    /// Returns the `Content-Type`: `application/json`, or that of an upload.
    pub fn content_type(&self) -> HeaderValue {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        self.form.as_ref().map_or(JSON, |form| form.content_type.clone())
    }

    /// Records that the query contains a token, of which errors show nothing.
    pub(crate) fn with_secret_query(mut self) -> Self {
        self.has_secret_query = true;
        self
    }

    pub(crate) fn has_secret_query(&self) -> bool {
        self.has_secret_query
    }

    /// Returns whether it is an upload, of whose body only a part is signed.
    pub(crate) fn is_upload(&self) -> bool {
        self.form.is_some()
    }

    /// Returns its name in logs.
    pub fn operation(&self) -> &str {
        &self.operation
    }

    pub(crate) fn operation_name(&self) -> Cow<'static, str> {
        self.operation.clone()
    }

    /// Returns how many such requests WeChat Pay accepts, if known.
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
    fn all_encrypted_fields_are_for_one_key() {
        let serial = |text: &str| WechatpaySerial::new(text).unwrap();
        let request = Request::post("x", Target::new("/v3/x").unwrap());
        assert_eq!(request.wechatpay_serial(), None);
        let request = request.with_wechatpay_serial(&serial("0C4AEF")).unwrap();
        // The same key, in another spelling.
        let request = request.with_wechatpay_serial(&serial("C4AEF")).unwrap();
        let error = request.with_wechatpay_serial(&serial("PUB_KEY_ID_1")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the fields of the request are encrypted for two keys, C4AEF and PUB_KEY_ID_1"
        );
        assert!(!error.hint().is_empty());
    }

    #[test]
    fn of_an_upload_only_meta_is_signed() {
        let target = || Target::new("/v3/x").unwrap();
        let json = Request::post("x", target()).with_body("{}");
        assert_eq!(
            (&json.signed_body()[..], json.content_type().as_bytes()),
            (&b"{}"[..], &b"application/json"[..])
        );
        let upload = Upload::new("logo.png", "content").meta(r#"{"a":1}"#);
        let upload = Request::upload("x", target(), upload).unwrap();
        assert_eq!((upload.method(), upload.replay()), (&Method::POST, Replay::Never));
        assert_eq!(upload.signed_body(), r#"{"a":1}"#);
        assert!(upload.body().len() > 200, "{}", upload.body().len());
        assert!(upload.content_type().to_str().unwrap().starts_with("multipart/form-data; "));
        assert_eq!(upload.clone().with_replay(Replay::Keyed).replay(), Replay::Keyed);
        let replaced = upload.with_body("{}");
        assert_eq!((&replaced.signed_body()[..], replaced.is_upload()), (&b"{}"[..], false));
    }

    #[test]
    fn headers_of_the_client_cannot_be_set() {
        let request = || Request::get("x", Target::new("/v3/x").unwrap());
        let value = HeaderValue::from_static("x");
        for name in RESERVED {
            let refused = request().with_header(name.clone(), value.clone());
            assert!(matches!(refused, Err(RequestError::ReservedHeader { .. })), "{name}");
        }
        let own = WechatpaySerial::new("PUB_KEY_ID_1").unwrap();
        let with_serial = request().with_wechatpay_serial(&own).unwrap();
        assert_eq!(with_serial.wechatpay_serial(), Some(&own));
        assert!(with_serial.headers().is_empty());
        let name = HeaderName::from_static("accept-language");
        assert_eq!(request().with_header(name.clone(), value).unwrap().headers()[&name], "x");
    }
}
