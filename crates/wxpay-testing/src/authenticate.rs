//! Checks of a request, as the real server makes them.

use http::HeaderMap;
use serde_json::{Map, Value, json};
use wxpay_auth::{
    Authorization, CLOCK_WINDOW_SECS, Identity, Mchid, Nonce, SerialNo, Timestamp, request_message,
};

use crate::answer::RawAnswer;
use crate::keys::KEYS;

/// A request as it came over the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// Why a request is not taken, and what it is answered with.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) answer: RawAnswer,
}

/// Who may call, and when.
#[derive(Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) mchid: &'a Mchid,
    pub(crate) serial_no: &'a SerialNo,
    pub(crate) now: Timestamp,
    /// Where `detail` keeps its `issue`: both shapes occur.
    pub(crate) nested_detail: bool,
}

/// How much of a body the server shows in the message that it signed.
const SHOWN_BODY_BYTES: usize = 8;

impl RawRequest<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Checks everything but the freshness of the nonce, which is returned.
    pub(crate) fn authenticate(&self, expected: &Expected<'_>) -> Result<String, Refusal> {
        self.check_headers()?;
        let header = self.header("authorization").unwrap_or_default();
        let authorization = Authorization::parse(header).map_err(|e| Refusal {
            reason: e.to_string(),
            answer: RawAnswer::error(401, "SIGN_ERROR", "Http头Authorization值格式错误"),
        })?;
        let refuse = |reason: String, issue: &str| {
            Err(Refusal { reason, answer: self.sign_error(&authorization, expected, issue) })
        };
        if *authorization.identity() != Identity::Merchant(expected.mchid.clone()) {
            let given = authorization.identity().value();
            return refuse(format!("mchid {given} is not {}", expected.mchid), "mchid not match");
        }
        let given = authorization.signature().serial_no();
        if given != expected.serial_no {
            let reason = format!("serial_no {given} is not {}", expected.serial_no);
            return refuse(reason, "serial_no not match");
        }
        let age = authorization.timestamp().seconds_after(expected.now);
        if age.unsigned_abs() > CLOCK_WINDOW_SECS {
            return refuse(format!("the timestamp is {age} s off"), "timestamp expired");
        }
        if Nonce::new(authorization.nonce_str()).is_none() {
            let reason = "nonce_str is not 32 characters of [0-9A-Za-z]".to_owned();
            return refuse(reason, "nonce_str invalid");
        }
        let message = self.message(&authorization);
        let signature = authorization.signature().as_bytes();
        if !KEYS.merchant_public_key.verifies(&message, signature) {
            return refuse("the signature does not fit".to_owned(), "sign not match");
        }
        Ok(authorization.nonce_str().to_owned())
    }

    /// Checks what front servers check.
    fn check_headers(&self) -> Result<(), Refusal> {
        let refuse = |reason: &str, answer| Err(Refusal { reason: reason.to_owned(), answer });
        let has_body = matches!(self.method, "POST" | "PUT" | "PATCH");
        if has_body && self.header("content-length").is_none() {
            return refuse("Content-Length is missing", RawAnswer::html(411));
        }
        let bad = |message| RawAnswer::error(400, "PARAM_ERROR", message);
        if self.header("user-agent").is_none_or(str::is_empty) {
            return refuse("User-Agent is missing", bad("Http头缺少Accept或User-Agent"));
        }
        let accepts = |a: &str| a.contains("application/json") || a.contains("*/*");
        if !self.header("accept").is_some_and(accepts) {
            return refuse("Accept is not application/json", bad("Http头缺少Accept或User-Agent"));
        }
        let is_json = |c: &str| c.starts_with("application/json");
        if has_body && !self.header("content-type").is_some_and(is_json) {
            return refuse("Content-Type is not application/json", bad("Http头Content-Type错误"));
        }
        Ok(())
    }

    /// Builds the message that this server signs to compare.
    fn message(&self, authorization: &Authorization) -> Vec<u8> {
        request_message(
            self.method,
            self.target,
            authorization.timestamp(),
            authorization.nonce_str(),
            self.body,
        )
    }

    /// Answers 401 `SIGN_ERROR`, and says what was signed here.
    pub(crate) fn sign_error(
        &self,
        authorization: &Authorization,
        expected: &Expected<'_>,
        issue: &str,
    ) -> RawAnswer {
        let message = self.message(authorization);
        let hidden = self.body.len().saturating_sub(SHOWN_BODY_BYTES);
        let (shown, _) = message.split_at(message.len() - 1 - hidden);
        let shown = format!("{}\n", String::from_utf8_lossy(shown).trim_end_matches('\u{fffd}'));
        let mut detail = Map::new();
        if expected.nested_detail {
            detail.insert("detail".to_owned(), json!({ "issue": issue }));
        } else {
            detail.insert("issue".to_owned(), issue.into());
        }
        detail.insert("field".to_owned(), "signature".into());
        detail.insert("location".to_owned(), "authorization".into());
        detail.insert(
            "sign_information".to_owned(),
            json!({
                "method": self.method,
                "url": self.target,
                "truncated_sign_message": shown,
                "sign_message_length": message.len(),
            }),
        );
        let body = json!({
            "code": "SIGN_ERROR",
            "message": "错误的签名，验签失败",
            "detail": Value::Object(detail),
        });
        RawAnswer::json(401, &body)
    }
}
