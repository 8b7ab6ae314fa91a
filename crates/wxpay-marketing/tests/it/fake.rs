//! WeChat Pay without a network, for paused time.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;
use wxpay_auth::{
    Clock, KeyRing, PrivateKey, PublicKey, SystemClock, Verified, response_message, verify_response,
};
use wxpay_marketing::{DeliveryPlans, TerminateExpectation};
use wxpay_transport::{
    ApiError, Bytes, CallContext, Error, Method, Request, Response, ResponseSignature, Target,
    Transport, async_trait,
};

use crate::common::{brand, plan_id};

const WECHATPAY_KEY: &str = include_str!("../../testdata/keys/wechat_pay_private_key.pem");
const WECHATPAY_PUBLIC_KEY: &str = include_str!("../../testdata/keys/wechat_pay_public_key.pem");
const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_0000000000000024101100397200000006";
const NONCE: &str = "593BEC0C930BF1AFEB40B4A08C8FB242";

/// The response to a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A list of one plan.
    Plan(Value),
    NoContent,
    /// 202, whose outcome is unknown.
    Accepted,
    /// WeChat Pay's own refusal.
    Refused,
    /// No response.
    Fails,
    /// No response, for ever.
    Hangs,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The plan, with the number of such reads since the termination; before it, `None`.
    Plan(Option<usize>),
    /// All plans of the brand.
    AllPlans,
    Termination,
}

/// Answers with a function.
pub(crate) struct Fake<F> {
    answer: F,
    ring: KeyRing,
    key: PrivateKey,
    begun: Instant,
    reads: AtomicUsize,
    log: Mutex<Vec<(Asked, Duration)>>,
}

impl<F: Fn(Asked, Duration) -> Answer + Send + Sync> Fake<F> {
    /// The function gets what is asked for, and when.
    pub(crate) fn service(answer: F) -> DeliveryPlans<Self> {
        let ring = KeyRing::new();
        let public_key = PublicKey::from_pem(WECHATPAY_PUBLIC_KEY).unwrap();
        ring.insert_public_key(PUBLIC_KEY_ID.parse().unwrap(), public_key).unwrap();
        let key = PrivateKey::from_pem(WECHATPAY_KEY).unwrap();
        let (begun, reads, log) = (Instant::now(), AtomicUsize::new(0), Mutex::default());
        DeliveryPlans::new(Self { answer, ring, key, begun, reads, log })
    }

    /// Returns what was asked for so far, and when.
    pub(crate) fn log(&self) -> Vec<(Asked, Duration)> {
        self.log.lock().unwrap().clone()
    }

    /// Returns how many terminations were sent.
    pub(crate) fn posts(&self) -> usize {
        self.log().iter().filter(|(asked, _)| *asked == Asked::Termination).count()
    }

    async fn response(&self, status: StatusCode, body: String) -> Response {
        let body = Bytes::from(body);
        let timestamp = SystemClock.now().to_string();
        let signature = self.key.sign(&response_message(&timestamp, NONCE, &body)).unwrap();
        let headers: HeaderMap = [
            ("wechatpay-timestamp", timestamp.as_str()),
            ("wechatpay-nonce", NONCE),
            ("wechatpay-serial", PUBLIC_KEY_ID),
            ("wechatpay-signature", &STANDARD.encode(signature)),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
        let verified: Verified<Bytes> =
            verify_response(&self.ring, &SystemClock, &headers, body).await.unwrap();
        Response::new(status, Some("08F5".into()), "h.example", verified)
    }
}

impl<F> fmt::Debug for Fake<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

#[async_trait]
impl<F: Fn(Asked, Duration) -> Answer + Send + Sync> Transport for Fake<F> {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        let asked = if *request.method() == Method::POST {
            Asked::Termination
        } else if request.target().as_str().contains("plan_id=") {
            Asked::Plan((self.posts() > 0).then(|| self.reads.fetch_add(1, Ordering::Relaxed)))
        } else {
            Asked::AllPlans
        };
        let at = self.begun.elapsed();
        self.log.lock().unwrap().push((asked, at));
        match (self.answer)(asked, at) {
            Answer::Plan(plan) => {
                let body = json!({"total_count": 1, "plan_list": [plan]}).to_string();
                Ok(self.response(StatusCode::OK, body).await)
            }
            Answer::NoContent => Ok(self.response(StatusCode::NO_CONTENT, String::new()).await),
            Answer::Accepted => Ok(self.response(StatusCode::ACCEPTED, String::new()).await),
            Answer::Refused => Err(Error::Api(ApiError::from_response(
                CallContext::new(&request, "h.example"),
                StatusCode::FORBIDDEN,
                &HeaderMap::new(),
                Ok(Bytes::from_static(br#"{"code":"NO_AUTH","message":"no"}"#)),
                ResponseSignature::Missing,
                b"",
                SystemClock.now(),
            ))),
            Answer::Fails => Err(Target::new("no path").unwrap_err().into()),
            Answer::Hangs => std::future::pending().await,
        }
    }
}

/// A plan of the brand 1004.
pub(crate) fn plan(state: &str) -> Value {
    named("满100减10", state)
}

pub(crate) fn named(plan_name: &str, state: &str) -> Value {
    json!({
        "plan_id": "12000", "plan_name": plan_name, "plan_state": state, "brand_id": "1004",
        "delivery_start_time": "2027-01-01T00:00:00+08:00",
        "delivery_end_time": "2027-01-31T00:00:00+08:00",
        "product_coupon_id": "200000001", "stock_id": "1",
    })
}

/// Expects that plan, without the search for others.
pub(crate) fn expected() -> TerminateExpectation {
    with_impact().without_impact()
}

pub(crate) fn with_impact() -> TerminateExpectation {
    TerminateExpectation::new(brand("1004"), plan_id("12000")).plan_name("满100减10")
}
