//! Error responses.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use wxpay_auth::Timestamp;

use super::api_body::{self, ErrorBody, ErrorDetail, Parsed};
use super::call_context::CallContext;
use super::refusal;
use super::response_signature::ResponseSignature;
use super::sign_diagnosis::SignDiagnosis;
use crate::error::delivery::Outcome;
use crate::message::replay::Replay;
use crate::message::response_headers;
use crate::message::secrets::Secrets;

/// A response with a status other than 2xx.
///
/// The set of codes is open: decide by [`status`](ApiError::status) first, then by
/// [`code`](ApiError::code).
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012081709>
#[derive(Debug)]
pub struct ApiError {
    pub(super) inner: Box<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    call: CallContext,
    pub(super) status: StatusCode,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    pub(super) clock_offset: Option<i64>,
    pub(super) signature: ResponseSignature,
    is_unconfirmed: bool,
    pub(super) body: ErrorBody,
    raw_body: RawBody,
    parsed: Parsed,
    pub(super) sign_diagnosis: Option<SignDiagnosis>,
}

/// Keeps a body out of `Debug` output.
struct RawBody(Bytes);

impl fmt::Debug for RawBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

/// The contents of an error response.
pub(crate) struct ApiResponse {
    pub(crate) status: StatusCode,
    pub(crate) request_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) clock_offset: Option<i64>,
    pub(crate) signature: ResponseSignature,
    /// Whether it came on a connection that had carried another request.
    pub(crate) was_kept: bool,
    /// The whole body, or why it is missing.
    pub(crate) body: Result<Bytes, ErrorBody>,
}

impl ApiResponse {
    /// Reads a response that came on an unused connection; `body` is the whole body, or why it is missing.
    pub(crate) fn read(
        status: StatusCode,
        request_id: Option<String>,
        headers: &HeaderMap,
        body: Result<Bytes, ErrorBody>,
        signature: ResponseSignature,
        now: Timestamp,
    ) -> Self {
        // A signature covers the plain body: if it verifies, the header is wrong.
        let is_plain = matches!(signature, ResponseSignature::Verified(_))
            || response_headers::coding(headers, Secrets::default).is_none();
        Self {
            status,
            request_id,
            retry_after: response_headers::retry_after(headers, now),
            clock_offset: response_headers::clock_offset(headers, now),
            signature,
            was_kept: false,
            body: body.and_then(|body| if is_plain { Ok(body) } else { Err(ErrorBody::Encoded) }),
        }
    }
}

impl ApiError {
    /// Combines a response with its call and the message signed for it. `secrets` must not be shown.
    pub(crate) fn new(
        call: CallContext,
        response: ApiResponse,
        signed_message: &[u8],
        secrets: &Secrets,
    ) -> Self {
        let (body, mut parsed) = match &response.body {
            Ok(body) => api_body::parse(body, secrets),
            Err(kind) => (*kind, Parsed::default()),
        };
        let diagnose = |theirs| SignDiagnosis::new(signed_message, theirs, secrets);
        // It quotes the signed body, so it is not kept.
        let sign_diagnosis = parsed.sign_information.take().as_ref().map(diagnose);
        let ApiResponse {
            status,
            request_id,
            retry_after,
            clock_offset,
            signature,
            was_kept,
            body: raw,
        } = response;
        // Sending a call that must not be repeated on a kept connection is the application's explicit choice.
        let is_unconfirmed = was_kept && call.replay.is_repeatable();
        let mut error = Self {
            inner: Box::new(Inner {
                call,
                status,
                request_id,
                retry_after,
                clock_offset,
                signature,
                is_unconfirmed,
                body,
                raw_body: RawBody(raw.unwrap_or_default()),
                parsed,
                sign_diagnosis,
            }),
        };
        // A query changes nothing, so whatever became of its earlier attempts, a refusal is its result.
        let is_settled = error.outcome() == Outcome::Rejected;
        if is_settled && error.inner.call.replay == Replay::Safe {
            error.inner.call.earlier_unknown = false;
        }
        error
    }

    /// Reads a response with a status other than 2xx, for custom transports.
    ///
    /// `body` is the whole body, or why it is missing. `signature` is the result of verifying its signature,
    /// `signed_message` is what was signed for the request, and `now` is the local time.
    ///
    /// The texts of the response are shown as they are, without control characters: first remove from the
    /// body what must not be shown.
    pub fn from_response(
        call: CallContext,
        status: StatusCode,
        headers: &HeaderMap,
        body: Result<Bytes, ErrorBody>,
        signature: ResponseSignature,
        signed_message: &[u8],
        now: Timestamp,
    ) -> Self {
        let request_id = headers.get("request-id").and_then(|id| id.to_str().ok());
        let request_id = request_id.map(|id| Secrets::default().shown(id));
        let response = ApiResponse::read(status, request_id, headers, body, signature, now);
        Self::new(call, response, signed_message, &Secrets::default())
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> StatusCode {
        self.inner.status
    }

    /// Returns the code, such as `PARAM_ERROR`, if the body has one.
    ///
    /// Request contents that the response repeats are removed from this and its other texts.
    pub fn code(&self) -> Option<&str> {
        self.inner.parsed.code.as_deref()
    }

    /// Returns the message, on one line, if the body has one.
    pub fn message(&self) -> Option<&str> {
        self.inner.parsed.message.as_deref()
    }

    /// Returns which field was wrong, if the body says so.
    pub fn detail(&self) -> Option<&ErrorDetail> {
        self.inner.parsed.detail.as_ref()
    }

    /// Returns the `Request-ID`, which WeChat Pay's support asks for.
    pub fn request_id(&self) -> Option<&str> {
        self.inner.request_id.as_deref()
    }

    /// Returns how long the response asks to wait (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Returns how many seconds the server's `Date` is ahead of the local clock.
    pub fn clock_offset(&self) -> Option<i64> {
        self.inner.clock_offset
    }

    /// Returns whether the response was signed, and by which key.
    pub fn signature(&self) -> &ResponseSignature {
        &self.inner.signature
    }

    /// Returns the kind of body.
    pub fn body_kind(&self) -> ErrorBody {
        self.inner.body
    }

    /// Returns the raw body; empty if it was truncated, too large or encoded. It may contain personal data, and
    /// may repeat the signature of the request: keep it out of logs.
    pub fn raw_body(&self) -> &[u8] {
        &self.inner.raw_body.0
    }

    /// Explains a `SIGN_ERROR`: which line of the signed message the server saw differently.
    pub fn sign_diagnosis(&self) -> Option<&SignDiagnosis> {
        self.inner.sign_diagnosis.as_ref()
    }

    pub(super) fn call(&self) -> &CallContext {
        &self.inner.call
    }

    pub(super) fn is_wechat_pays(&self) -> bool {
        let Inner { signature, body, parsed, .. } = &*self.inner;
        refusal::is_wechat_pays(signature, *body, parsed.has_code())
    }

    pub(super) fn outcome(&self) -> Outcome {
        if self.is_unconfirmed() { Outcome::Unknown } else { self.outcome_as_it_stands() }
    }

    /// Returns whether it is a refusal that may be the response to another request, because it came on a
    /// connection that had carried one. Another attempt on a new connection confirms it.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.inner.is_unconfirmed && self.is_refusal()
    }

    /// Returns whether it is a refusal, of this call or another one.
    pub(crate) fn is_refusal(&self) -> bool {
        self.outcome_as_it_stands() == Outcome::Rejected
    }

    fn outcome_as_it_stands(&self) -> Outcome {
        refusal::outcome(self.inner.status, self.is_wechat_pays())
    }

    pub(super) fn may_retry(&self) -> bool {
        match (self.outcome(), self.inner.status) {
            (Outcome::Rejected, status) => status == StatusCode::TOO_MANY_REQUESTS,
            (_, status) => !status.is_redirection() && self.inner.call.replay.is_repeatable(),
        }
    }
}

/// Shows operation, status, code, message, field and request id:
/// `delivery_plans.terminate answered 400 PARAM_ERROR: 参数错误 (plan_id) [request-id 08F7…]`.
impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered {}", self.call().operation, self.status().as_u16())?;
        match (self.code(), self.inner.body) {
            (Some(code), _) => write!(f, " {code}")?,
            (None, ErrorBody::Json) => {}
            (None, ErrorBody::Html) => f.write_str(" with a web page")?,
            (None, ErrorBody::Empty) => f.write_str(" without a body")?,
            (None, ErrorBody::Text) => f.write_str(" with a text")?,
            (None, ErrorBody::Binary) => f.write_str(" with a body that is no text")?,
            (None, ErrorBody::Truncated) => f.write_str(" with a body that ended too early")?,
            (None, ErrorBody::TooLarge) => f.write_str(" with a body above the limit")?,
            (None, ErrorBody::Encoded) => {
                f.write_str(" with a body in a coding that was not requested")?;
            }
        }
        if let Some(message) = self.message() {
            write!(f, ": {message}")?;
        }
        if let Some(field) = self.detail().and_then(|d| d.field.as_deref()) {
            write!(f, " ({field})")?;
        }
        match self.request_id() {
            Some(id) => write!(f, " [request-id {id}]"),
            None => Ok(()),
        }
    }
}

impl StdError for ApiError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.inner.signature {
            ResponseSignature::Refused(e) => Some(e),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use wxpay_auth::{VerifyError, WechatpaySerial};

    use super::*;

    fn error(status: u16, signature: ResponseSignature, body: &str) -> ApiError {
        let call = CallContext::first("x", "h", Replay::Keyed);
        let response = ApiResponse {
            status: StatusCode::from_u16(status).unwrap(),
            request_id: Some("08F7".into()),
            retry_after: None,
            clock_offset: None,
            signature,
            was_kept: false,
            body: Ok(body.to_owned().into()),
        };
        ApiError::new(call, response, b"POST\n/\n1\n2\n\n", &Secrets::default())
    }

    #[test]
    fn it_shows_status_code_message_field_and_request_id() {
        let body = r#"{"code":"PARAM_ERROR","message":"参数错误","detail":{"field":"plan_id"}}"#;
        assert_eq!(
            error(400, ResponseSignature::Missing, body).to_string(),
            "x answered 400 PARAM_ERROR: 参数错误 (plan_id) [request-id 08F7]"
        );
        let html = error(502, ResponseSignature::Missing, "<html>secret</html>");
        assert_eq!(html.to_string(), "x answered 502 with a web page [request-id 08F7]");
        assert!(!format!("{html:?}").contains("secret"));
    }

    #[test]
    fn what_was_asked_for_is_told_from_settings_and_from_what_may_have_happened() {
        let is_input = |status, signature, body: &str| {
            crate::error::Error::Api(error(status, signature, body)).is_input()
        };
        let refusal = r#"{"code":"PARAM_ERROR","message":"no"}"#;
        assert!(is_input(400, ResponseSignature::Missing, refusal));
        assert!(is_input(404, ResponseSignature::Missing, refusal));
        assert!(!is_input(403, ResponseSignature::Missing, refusal), "the permission is missing");
        assert!(
            !is_input(500, ResponseSignature::Missing, refusal),
            "it may have been carried out"
        );
        assert!(!is_input(404, ResponseSignature::Missing, "<html>"), "it is not WeChat Pay's");
        let serial = r#"{"code":"PARAM_ERROR","message":"Wechatpay-Serial"}"#;
        assert!(
            !is_input(400, ResponseSignature::Missing, serial),
            "it is a matter of the key ring"
        );
    }

    /// A custom transport reads a response as the client does.
    #[test]
    fn a_response_is_read_from_its_parts() {
        let context = CallContext::first("x", "h", Replay::Keyed);
        let headers = [
            ("request-id", "08F7"),
            ("retry-after", "7"),
            ("date", "Thu, 01 Jan 1970 00:01:40 GMT"),
        ];
        let headers = headers.map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
        });
        let body = r#"{"code":"FREQUENCY_LIMITED","message":"slow\ndown"}"#;
        let error = ApiError::from_response(
            context,
            StatusCode::TOO_MANY_REQUESTS,
            &headers.into_iter().collect(),
            Ok(body.into()),
            ResponseSignature::Missing,
            b"POST\n/\n1\n2\n\n",
            Timestamp::from_unix_secs(90),
        );
        assert_eq!(
            error.to_string(),
            "x answered 429 FREQUENCY_LIMITED: slow down [request-id 08F7]"
        );
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        assert_eq!(error.clock_offset(), Some(10));
        assert!(crate::error::Error::Api(error).may_retry());
    }

    /// The texts are quoted from WeChat Pay.
    #[test]
    fn a_serial_that_is_not_known_speaks_of_the_key_ring() {
        for body in [
            r#"{"code":"PARAM_ERROR","message":"平台证书序列号Wechatpay-Serial错误"}"#,
            r#"{"code":"PARAM_ERROR","message":"HTTP header缺少微信支付平台证书序列号(Wechatpay-Serial)"}"#,
            r#"{"code":"PARAM_ERROR","message":"no","detail":{"field":"wechatpay-serial"}}"#,
        ] {
            let error = error(400, ResponseSignature::Missing, body);
            assert!(error.hint().contains("key ring"), "{body}: {}", error.hint());
        }
        let other = r#"{"code":"PARAM_ERROR","message":"参数错误","detail":{"field":"plan_id"}}"#;
        let other = error(400, ResponseSignature::Missing, other);
        assert!(!other.hint().contains("key ring"), "{}", other.hint());
    }

    #[test]
    fn the_status_decides_on_the_outcome() {
        for (status, outcome, may_retry) in [
            (400, Outcome::Rejected, false),
            (401, Outcome::Rejected, false),
            (404, Outcome::Rejected, false),
            (408, Outcome::Unknown, true),
            (429, Outcome::Rejected, true),
            (302, Outcome::Unknown, false),
            (500, Outcome::Unknown, true),
            (503, Outcome::Unknown, true),
        ] {
            let error = error(status, ResponseSignature::Missing, r#"{"code":"X"}"#);
            assert_eq!((error.outcome(), error.may_retry()), (outcome, may_retry), "{status}");
        }
        let forged = ResponseSignature::Refused(VerifyError::unsupported_algorithm());
        assert_eq!(error(400, forged, r#"{"code":"X"}"#).outcome(), Outcome::Unknown);
    }

    #[test]
    fn what_is_not_wechat_pays_is_no_refusal() {
        let page = "<html>404</html>";
        for status in [400, 401, 403, 404, 411, 413, 429] {
            for body in [page, "", "no", r#"{"message":"no"}"#, r#"{"code":""}"#] {
                let error = error(status, ResponseSignature::Missing, body);
                assert_eq!(error.outcome(), Outcome::Unknown, "{status} {body}");
                assert!(error.may_retry(), "{status} {body}: the call may be repeated");
                let hint = error.hint();
                assert!(hint.starts_with(error.call().ask()), "{status} {body}: {hint}");
                assert!(hint.contains("something in front"), "{status} {body}: {hint}");
                assert!(!hint.contains("check the id"), "{status} {body}: {hint}");
            }
        }
        let serial: WechatpaySerial = "PUB_KEY_ID_1".parse().unwrap();
        let signed = error(404, ResponseSignature::Verified(serial), page);
        assert_eq!(signed.outcome(), Outcome::Rejected);
        assert!(signed.hint().contains("check the id"), "{}", signed.hint());
    }

    /// Diagnoses a real `SIGN_ERROR` response to a given message.
    fn diagnosis(body: &str, message: &str) -> SignDiagnosis {
        let call = CallContext::first("x", "h", Replay::Never);
        let response = ApiResponse {
            status: StatusCode::UNAUTHORIZED,
            request_id: None,
            retry_after: None,
            clock_offset: Some(0),
            signature: ResponseSignature::Missing,
            was_kept: false,
            body: Ok(body.to_owned().into()),
        };
        let error = ApiError::new(call, response, message.as_bytes(), &Secrets::default());
        assert_eq!(error.code(), Some("SIGN_ERROR"));
        let detail = error.detail().unwrap();
        assert_eq!(detail.issue.as_deref(), Some("sign not match"), "in both shapes");
        assert_eq!(detail.location.as_deref(), Some("authorization"));
        assert_eq!(error.hint(), error.sign_diagnosis().unwrap().to_string());
        error.sign_diagnosis().unwrap().clone()
    }

    #[test]
    fn a_clock_that_is_off_is_told_without_any_detail() {
        let call = CallContext::first("x", "h", Replay::Never);
        let response = |clock_offset| ApiResponse {
            status: StatusCode::UNAUTHORIZED,
            request_id: None,
            retry_after: None,
            clock_offset,
            signature: ResponseSignature::Missing,
            was_kept: false,
            body: Ok(r#"{"code":"SIGN_ERROR","message":"timestamp"}"#.into()),
        };
        for (offset, hint) in [
            (Some(301), "set the local clock: it is 301 s behind WeChat Pay's"),
            (Some(-3600), "set the local clock: it is 3600 s ahead of WeChat Pay's"),
            (Some(300), "check that private key, serial_no and mchid belong together"),
            (None, "check that private key, serial_no and mchid belong together"),
        ] {
            let error = ApiError::new(call.clone(), response(offset), b"", &Secrets::default());
            assert!(error.hint().starts_with(hint), "{offset:?}: {}", error.hint());
        }
    }

    #[test]
    fn real_sign_errors_are_explained() {
        use super::super::SignedLine;
        let official = include_str!("../../testdata/sign_error/official.json");
        let same = "GET\n/payscore/user-service-state?service_id=500001&appid=wxeaf7bf1de621b0c2&\
                    openid=oWm9Z5JQwgV7BKAQUeKsUMVSjTpQ\n1559194069\n\
                    18a427e78d2344e1a71156a2690cc4d6\n\n";
        assert_eq!(diagnosis(official, same).differs(), None);
        assert_eq!(diagnosis(official, same).their_length(), Some(157));
        let other = same.replace("service_id=500001", "service_id=500002");
        assert_eq!(diagnosis(official, &other).differs(), Some(SignedLine::Url));

        let empty_body = include_str!("../../testdata/sign_error/empty_body_post.json");
        let head = "POST\n/v3/transfer/batches\n1709745440\n5hMYYOOJpzdAfboMUB7QiPmfxmhVehVk\n";
        assert_eq!(diagnosis(empty_body, &format!("{head}\n")).differs(), None);
        let with_body = diagnosis(empty_body, &format!("{head}{{\"appid\":\"wx1\"}}\n"));
        assert_eq!(with_body.differs(), Some(SignedLine::Body));
        assert_eq!(
            with_body.to_string(),
            "the body differs: 86 bytes were signed, the server saw 71"
        );

        let cut = include_str!("../../testdata/sign_error/truncated_example.json");
        let head =
            "POST\n/v3/pay/transactions/jsapi\n1756951532\nIXlHDnWguGbz7uMOL7xdPibFoV342jP3\n";
        let body = format!("{{\"amount{:0>1$}", "\n", 349 - head.len() - 8);
        let same = format!("{head}{body}");
        assert_eq!(same.len(), 349);
        assert_eq!(diagnosis(cut, &same).differs(), None);
        assert_eq!(
            diagnosis(cut, &same.replace("amount", "amounT")).differs(),
            Some(SignedLine::Body)
        );
        assert_eq!(diagnosis(cut, &format!("{same}x")).differs(), Some(SignedLine::Body));
        let other_nonce = same.replace("IXlH", "IXlh");
        assert_eq!(diagnosis(cut, &other_nonce).differs(), Some(SignedLine::Nonce));
    }
}
