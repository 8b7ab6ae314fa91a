//! Answers that are no success.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use wxpay_auth::{VerifyError, WechatpaySerial};

use super::api_body::{self, ErrorBody, ErrorDetail, Parsed};
use super::call::Call;
use super::sign_diagnosis::SignDiagnosis;
use crate::delivery::Outcome;

/// Says how the signature of an error answer turned out. WeChat Pay does not sign all of them: 401
/// `SIGN_ERROR` never.
#[derive(Debug)]
#[non_exhaustive]
pub enum AnswerSignature {
    /// It was verified with this key.
    Verified(WechatpaySerial),
    /// There is none.
    Missing,
    /// It could not be checked: the body is not whole.
    Unchecked,
    /// There is one, and it was not accepted: the answer cannot be trusted, not even as a refusal.
    Refused(VerifyError),
}

/// Holds an answer with another status than 2xx.
///
/// The set of codes is open: decide by [`status`](ApiError::status) first, then by
/// [`code`](ApiError::code).
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012081709>
#[derive(Debug)]
pub struct ApiError {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    call: Call,
    status: StatusCode,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    clock_offset: Option<i64>,
    signature: AnswerSignature,
    body: ErrorBody,
    raw_body: RawBody,
    parsed: Parsed,
    sign_diagnosis: Option<SignDiagnosis>,
}

/// Keeps a body out of `Debug`.
struct RawBody(Bytes);

impl fmt::Debug for RawBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

/// What the client knows of an answer that is no success.
pub(crate) struct ApiAnswer {
    pub(crate) status: StatusCode,
    pub(crate) request_id: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) clock_offset: Option<i64>,
    pub(crate) signature: AnswerSignature,
    /// The whole body, or why it is not there.
    pub(crate) body: Result<Bytes, ErrorBody>,
}

impl ApiError {
    /// Joins an answer with the call, and with the message that was signed for it.
    pub(crate) fn new(call: Call, answer: ApiAnswer, signed_message: &[u8]) -> Self {
        let (body, mut parsed) = match &answer.body {
            Ok(body) => api_body::parse(body),
            Err(kind) => (*kind, Parsed::default()),
        };
        let diagnose = |theirs| SignDiagnosis::new(signed_message, theirs);
        // It quotes the signed body, so it is not kept.
        let sign_diagnosis = parsed.sign_information.take().as_ref().map(diagnose);
        let ApiAnswer { status, request_id, retry_after, clock_offset, signature, body: raw } =
            answer;
        Self {
            inner: Box::new(Inner {
                call,
                status,
                request_id,
                retry_after,
                clock_offset,
                signature,
                body,
                raw_body: RawBody(raw.unwrap_or_default()),
                parsed,
                sign_diagnosis,
            }),
        }
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> StatusCode {
        self.inner.status
    }

    /// Returns the code (`PARAM_ERROR`, say), where the body has one.
    pub fn code(&self) -> Option<&str> {
        self.inner.parsed.code.as_deref()
    }

    /// Returns the message, on one line, where the body has one.
    pub fn message(&self) -> Option<&str> {
        self.inner.parsed.message.as_deref()
    }

    /// Returns which field was wrong, where the body says so.
    pub fn detail(&self) -> Option<&ErrorDetail> {
        self.inner.parsed.detail.as_ref()
    }

    /// Returns the `Request-ID`: WeChat Pay's support asks for it.
    pub fn request_id(&self) -> Option<&str> {
        self.inner.request_id.as_deref()
    }

    /// Returns how long the answer asks to wait (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Returns by how many seconds the server's `Date` is later than the local clock.
    pub fn clock_offset(&self) -> Option<i64> {
        self.inner.clock_offset
    }

    /// Says whether the answer was signed, and by which key.
    pub fn signature(&self) -> &AnswerSignature {
        &self.inner.signature
    }

    /// Says what kind of body it was.
    pub fn body_kind(&self) -> ErrorBody {
        self.inner.body
    }

    /// Returns the raw body, empty where it was cut or too large. It may hold personal data: keep it
    /// out of logs.
    pub fn raw_body(&self) -> &[u8] {
        &self.inner.raw_body.0
    }

    /// Explains a `SIGN_ERROR`: which line of the signed message the server saw differently.
    pub fn sign_diagnosis(&self) -> Option<&SignDiagnosis> {
        self.inner.sign_diagnosis.as_ref()
    }

    pub(super) fn call(&self) -> &Call {
        &self.inner.call
    }

    pub(super) fn outcome(&self) -> Outcome {
        if matches!(self.inner.signature, AnswerSignature::Refused(_)) {
            return Outcome::Unknown;
        }
        match self.inner.status {
            StatusCode::REQUEST_TIMEOUT => Outcome::Unknown,
            status if status.is_client_error() => Outcome::Rejected,
            _ => Outcome::Unknown,
        }
    }

    pub(super) fn may_retry(&self) -> bool {
        match (self.outcome(), self.inner.status) {
            (Outcome::Rejected, status) => status == StatusCode::TOO_MANY_REQUESTS,
            (_, status) => !status.is_redirection() && self.inner.call.replay.is_repeatable(),
        }
    }

    /// Says what to do.
    pub(super) fn hint(&self) -> Cow<'static, str> {
        if let AnswerSignature::Refused(e) = &self.inner.signature {
            return format!("{}; {}", super::ASK, e.hint()).into();
        }
        match self.inner.status {
            StatusCode::UNAUTHORIZED => self.hint_sign_error(),
            StatusCode::BAD_REQUEST => {
                "fix the request: the message and the detail say what is wrong".into()
            }
            StatusCode::FORBIDDEN => {
                "ask for the permission on the merchant platform: this mchid does not have it, or \
                 not for this object"
                    .into()
            }
            StatusCode::NOT_FOUND => "check the id, and that it belongs to this mchid".into(),
            StatusCode::TOO_MANY_REQUESTS => {
                "it was not accepted: slow down, then send it again".into()
            }
            StatusCode::LENGTH_REQUIRED | StatusCode::PAYLOAD_TOO_LARGE => {
                "check what stands between here and WeChat Pay: a proxy changes requests".into()
            }
            StatusCode::REQUEST_TIMEOUT => super::ASK.into(),
            status if status.is_redirection() => {
                format!("{}; redirects are not followed: check the base URL", super::ASK).into()
            }
            status if status.is_client_error() => {
                "see the code in WeChat Pay's documentation of this call".into()
            }
            _ => super::ASK.into(),
        }
    }

    fn hint_sign_error(&self) -> Cow<'static, str> {
        const WINDOW: u64 = wxpay_auth::CLOCK_WINDOW_SECS;
        match (self.inner.clock_offset, &self.inner.sign_diagnosis) {
            (Some(offset), _) if offset.unsigned_abs() > WINDOW => {
                let (seconds, way) =
                    (offset.unsigned_abs(), if offset > 0 { "behind" } else { "ahead of" });
                format!(
                    "set the local clock: it is {seconds} s {way} WeChat Pay's, and more than \
                     {WINDOW} s are refused"
                )
                .into()
            }
            (_, Some(diagnosis)) => diagnosis.to_string().into(),
            (_, None) => "check that private key, serial_no and mchid belong together".into(),
        }
    }
}

/// Shows status, code, message, field and request id:
/// `400 PARAM_ERROR: 参数错误 (plan_id) [request-id 08F7…]`.
impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status().as_u16())?;
        match (self.code(), self.inner.body) {
            (Some(code), _) => write!(f, " {code}")?,
            (None, ErrorBody::Json) => {}
            (None, ErrorBody::Html) => f.write_str(" with a web page")?,
            (None, ErrorBody::Empty) => f.write_str(" without a body")?,
            (None, ErrorBody::Text) => f.write_str(" with a text")?,
            (None, ErrorBody::Binary) => f.write_str(" with a body that is no text")?,
            (None, ErrorBody::Truncated) => f.write_str(" with a body that ended too early")?,
            (None, ErrorBody::TooLarge) => f.write_str(" with a body above the limit")?,
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
            AnswerSignature::Refused(e) => Some(e),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Replay;

    fn error(status: u16, signature: AnswerSignature, body: &str) -> ApiError {
        let call = Call::first("x", "h", Replay::Keyed);
        let answer = ApiAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            request_id: Some("08F7".into()),
            retry_after: None,
            clock_offset: None,
            signature,
            body: Ok(body.to_owned().into()),
        };
        ApiError::new(call, answer, b"POST\n/\n1\n2\n\n")
    }

    #[test]
    fn it_shows_status_code_message_field_and_request_id() {
        let body = r#"{"code":"PARAM_ERROR","message":"参数错误","detail":{"field":"plan_id"}}"#;
        assert_eq!(
            error(400, AnswerSignature::Missing, body).to_string(),
            "400 PARAM_ERROR: 参数错误 (plan_id) [request-id 08F7]"
        );
        let html = error(502, AnswerSignature::Missing, "<html>secret</html>");
        assert_eq!(html.to_string(), "502 with a web page [request-id 08F7]");
        assert!(!format!("{html:?}").contains("secret"));
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
            let error = error(status, AnswerSignature::Missing, "");
            assert_eq!((error.outcome(), error.may_retry()), (outcome, may_retry), "{status}");
        }
        let forged = AnswerSignature::Refused(VerifyError::unsupported_algorithm());
        assert_eq!(error(400, forged, "{}").outcome(), Outcome::Unknown);
    }

    /// Reads a real `SIGN_ERROR`, for a message that was signed here.
    fn diagnosis(body: &str, message: &str) -> SignDiagnosis {
        let call = Call::first("x", "h", Replay::Never);
        let answer = ApiAnswer {
            status: StatusCode::UNAUTHORIZED,
            request_id: None,
            retry_after: None,
            clock_offset: Some(0),
            signature: AnswerSignature::Missing,
            body: Ok(body.to_owned().into()),
        };
        let error = ApiError::new(call, answer, message.as_bytes());
        assert_eq!(error.code(), Some("SIGN_ERROR"));
        let detail = error.detail().unwrap();
        assert_eq!(detail.issue.as_deref(), Some("sign not match"), "in both shapes");
        assert_eq!(detail.location.as_deref(), Some("authorization"));
        assert_eq!(error.hint(), error.sign_diagnosis().unwrap().to_string());
        error.sign_diagnosis().unwrap().clone()
    }

    #[test]
    fn a_clock_that_is_off_is_told_without_any_detail() {
        let call = Call::first("x", "h", Replay::Never);
        let answer = |clock_offset| ApiAnswer {
            status: StatusCode::UNAUTHORIZED,
            request_id: None,
            retry_after: None,
            clock_offset,
            signature: AnswerSignature::Missing,
            body: Ok(r#"{"code":"SIGN_ERROR","message":"timestamp"}"#.into()),
        };
        for (offset, hint) in [
            (Some(301), "set the local clock: it is 301 s behind WeChat Pay's"),
            (Some(-3600), "set the local clock: it is 3600 s ahead of WeChat Pay's"),
            (Some(300), "check that private key, serial_no and mchid belong together"),
            (None, "check that private key, serial_no and mchid belong together"),
        ] {
            let error = ApiError::new(call.clone(), answer(offset), b"");
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
