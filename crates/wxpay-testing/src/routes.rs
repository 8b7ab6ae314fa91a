//! The calls that the gateway knows, and how their answers are signed or spoilt.

use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::json;
use wxpay_auth::{NonceSource, SystemNonce, response_message};

use crate::answer::RawAnswer;
use crate::authenticate::RawRequest;
use crate::keys::KEYS;
use crate::misbehaviour::{ErrorBody, Misbehaviour};
use crate::plan::PlanState;
use crate::wechat_pay::WechatPay;

const PATH: &str = "/v3/marketing/partner/delivery-plan/delivery-plans/";

/// A real probe.
///
/// Source: <https://github.com/wechatpay-apiv3/wechatpay-java/issues/319>
const PROBE_SIGNATURE: &str = "WECHATPAY/SIGNTEST/2sWfO+6tVVsZonOXBXHOrle0TugJ31jDV3iGpjFchMYEyEZ48LxAmfW2gMXkP7Ce1OLORt7wHxkgBwTBHn9/JpPBwDFjiHMhSQCEYkk/gIXdO1E7dz6fnMmMqmI2urSR8WDWAG0jdIGFbnykjVFrQa7E1RhNNEIz476tmfj5Zp7W/kE1q7cxZIPumELjwfZHXybvrFMuYNEcf8Eq50V+I1e5onuIAa3RIuIIy30Kl2RANQJx1inQ0SirJjFtONAcPnLDWpeJuVCfRPLXE4ra5qsSwxbUDvnCAbTkz4L1mSZ/zyv80hd9t8upwSLbLiYJWV97N04Pb74zCg==";
const PROBE_SERIAL: &str = "51856640BA57CBD6343BA9EA2D409A9E9AC5EB65";

impl WechatPay {
    /// Carries out an authentic request, as far as no misbehaviour is in its way.
    pub(crate) fn obey(&self, request: RawRequest<'_>) -> RawAnswer {
        match self.next_misbehaviour() {
            Some(Misbehaviour::Redirect) => {
                let mut answer = RawAnswer::html(302);
                answer.header("Location", "/v3/elsewhere");
                self.add_common_headers(&mut answer);
                answer
            }
            Some(Misbehaviour::Status { status, body, signed, executed }) => {
                let executed = executed && self.carry_out(request).executed;
                let mut answer = error_answer(status, &body);
                answer.executed = executed;
                if signed {
                    self.sign(&mut answer, None);
                } else {
                    self.add_common_headers(&mut answer);
                }
                answer
            }
            misbehaviour => {
                let mut answer = self.carry_out(request);
                replace(&mut answer, misbehaviour.as_ref());
                self.sign(&mut answer, misbehaviour.as_ref());
                answer
            }
        }
    }

    fn carry_out(&self, request: RawRequest<'_>) -> RawAnswer {
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        let not_found = || RawAnswer::error(404, "NOT_FOUND", "请求的资源不存在");
        let Some(rest) = path.strip_prefix(PATH) else { return not_found() };
        let segments: Vec<&str> = rest.split('/').collect();
        match (request.method, segments.as_slice()) {
            ("POST", [plan_id, "terminate"]) => self.terminate(&decoded(plan_id), request.body),
            ("GET", [brand_id, "delivery-plans"]) => self.list(&decoded(brand_id), query),
            _ => not_found(),
        }
    }

    /// What a plan that is not there, or has ended, is answered with is not documented; these two
    /// answers are this gateway's choice.
    fn terminate(&self, plan_id: &str, body: &[u8]) -> RawAnswer {
        if !body.is_empty() {
            return RawAnswer::error(400, "PARAM_ERROR", "参数错误");
        }
        self.with_plans(|plans| match plans.get_mut(plan_id) {
            None => RawAnswer::error(404, "RESOURCE_NOT_EXISTS", "投放计划不存在"),
            Some(plan) if plan.state.is_final() => {
                RawAnswer::error(400, "INVALID_REQUEST", "投放计划已结束")
            }
            Some(plan) => {
                plan.state = PlanState::Terminated;
                let mut answer = RawAnswer::new(204, "");
                answer.executed = true;
                answer
            }
        })
    }

    fn list(&self, brand_id: &str, query: &str) -> RawAnswer {
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.into_iter().find(|(n, _)| *n == name).map(|(_, value)| decoded(value))
        };
        let number = |name, default: usize| match parameter(name) {
            Some(value) => value.parse().ok(),
            None => Some(default),
        };
        let (Some(page_size @ 1..=50), Some(offset)) =
            (number("page_size", 10), number("offset", 0))
        else {
            return RawAnswer::error(400, "PARAM_ERROR", "参数错误");
        };
        let (plan_id, state) = (parameter("plan_id"), parameter("plan_state"));
        let found: Vec<_> = self.with_plans(|plans| {
            let plans = plans.values().filter(|plan| plan.brand_id == brand_id);
            plans
                .filter(|plan| plan_id.as_ref().is_none_or(|id| *id == plan.plan_id))
                .filter(|plan| state.as_ref().is_none_or(|s| s == plan.state.as_str()))
                .map(crate::plan::Plan::to_json)
                .collect()
        });
        let mut body = json!({ "total_count": found.len() });
        let page: Vec<_> = found.into_iter().skip(offset).take(page_size).collect();
        if let (false, Some(body)) = (page.is_empty(), body.as_object_mut()) {
            body.insert("plan_list".to_owned(), page.into());
        }
        RawAnswer::json(200, &body)
    }

    /// Signs an answer, or does it wrong.
    fn sign(&self, answer: &mut RawAnswer, misbehaviour: Option<&Misbehaviour>) {
        self.add_common_headers(answer);
        if matches!(misbehaviour, Some(Misbehaviour::Unsigned | Misbehaviour::UnsignedSuccess)) {
            return;
        }
        let now = self.now().as_unix_secs();
        let timestamp = match misbehaviour {
            Some(Misbehaviour::StaleTimestamp) => now.saturating_sub(600),
            Some(Misbehaviour::FutureTimestamp) => now.saturating_add(600),
            _ => now,
        }
        .to_string();
        let nonce = SystemNonce::new().nonce().map(|n| n.to_string()).unwrap_or_default();
        let (key, own, other) = if self.signs_with_certificate() {
            let serial = KEYS.platform_certificate.serial_no().to_string();
            (&KEYS.platform_key, serial, KEYS.public_key_id.to_string())
        } else {
            let other = KEYS.platform_certificate.serial_no().to_string();
            (&KEYS.wechatpay_key, KEYS.public_key_id.to_string(), other)
        };
        let message = response_message(&timestamp, &nonce, &answer.body);
        let signature = STANDARD.encode(key.sign(&message).unwrap_or_default());
        let (serial, signature) = match misbehaviour {
            Some(Misbehaviour::WrongSerial) => (other, signature),
            Some(Misbehaviour::UnknownSerial) => {
                ("PUB_KEY_ID_0100000000009999999999999999999999".to_owned(), signature)
            }
            Some(Misbehaviour::Probe) => (PROBE_SERIAL.to_owned(), PROBE_SIGNATURE.to_owned()),
            Some(Misbehaviour::MalformedSignature) => (own, "this is no base64!".to_owned()),
            _ => (own, signature),
        };
        answer.header("Wechatpay-Timestamp", timestamp);
        answer.header("Wechatpay-Nonce", nonce);
        answer.header("Wechatpay-Serial", serial);
        answer.header("Wechatpay-Signature", signature);
        answer.header("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048");
        match misbehaviour {
            Some(Misbehaviour::MissingHeader(name)) => {
                answer.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
            }
            Some(Misbehaviour::TamperedBody) => {
                answer.status = if answer.status == 204 { 200 } else { answer.status };
                answer.body.extend_from_slice(br#"{"tampered":true}"#);
            }
            _ => {}
        }
    }

    pub(crate) fn add_common_headers(&self, answer: &mut RawAnswer) {
        let number = self.request_ids.fetch_add(1, Ordering::Relaxed);
        answer.header("Request-ID", format!("{number:08X}06102C18FDDFEEA30620BE821E28EDC405-0"));
        answer.header("Keep-Alive", "timeout=8");
        let since = Duration::from_secs(self.now().as_unix_secs());
        answer.header("Date", httpdate::fmt_http_date(UNIX_EPOCH + since));
    }
}

/// Puts another answer in place of the right one, which has been carried out.
fn replace(answer: &mut RawAnswer, misbehaviour: Option<&Misbehaviour>) {
    let executed = answer.executed;
    match misbehaviour {
        Some(Misbehaviour::UnexpectedSuccess { status, body }) => {
            *answer = RawAnswer::new(*status, body.as_str());
        }
        Some(Misbehaviour::Oversized(bytes)) => {
            *answer = RawAnswer::new(200, vec![b' '; *bytes]);
        }
        Some(Misbehaviour::Slow(delay)) => answer.delay = *delay,
        _ => {}
    }
    answer.executed = executed;
}

fn error_answer(status: u16, body: &ErrorBody) -> RawAnswer {
    match body {
        ErrorBody::Json { code, message } => RawAnswer::error(status, code, message),
        ErrorBody::Html => RawAnswer::html(status),
        ErrorBody::Empty => RawAnswer::new(status, ""),
        ErrorBody::NonUtf8 => RawAnswer::new(status, [b'{', 0xff, 0xfe, b'}']),
    }
}

/// Decodes a segment or a value, once.
fn decoded(encoded: &str) -> String {
    percent_decode_str(encoded).decode_utf8_lossy().into_owned()
}
