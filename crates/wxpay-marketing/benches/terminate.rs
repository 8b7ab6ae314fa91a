//! What the typed call adds to its transport.
//!
//! ```sh
//! cargo bench -p wxpay-marketing --bench terminate
//! ```

#![allow(clippy::expect_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::runtime::Builder;
use wxpay_auth::{
    Clock, KeyRing, PrivateKey, PublicKey, SystemClock, response_message, verify_response,
};
use wxpay_marketing::{DeliveryPlans, PlanId};
use wxpay_transport::{Error, Request, Response, Transport, async_trait};

const WECHATPAY_KEY: &str = include_str!("../testdata/keys/wechat_pay_private_key.pem");
const WECHATPAY_PUBLIC_KEY: &str = include_str!("../testdata/keys/wechat_pay_public_key.pem");
const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_0000000000000024101100397200000006";
const NONCE: &str = "593BEC0C930BF1AFEB40B4A08C8FB242";

/// Returns the same response to every request.
#[derive(Debug)]
struct Responses(Response);

#[async_trait]
impl Transport for Responses {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        black_box(request);
        Ok(self.0.clone())
    }
}

/// Returns a verified 204.
async fn no_content() -> Response {
    let ring = KeyRing::new();
    let public_key = PublicKey::from_pem(WECHATPAY_PUBLIC_KEY).expect("a key");
    ring.insert_public_key(PUBLIC_KEY_ID.parse().expect("an id"), public_key).expect("its kind");
    let timestamp = SystemClock.now().to_string();
    let key = PrivateKey::from_pem(WECHATPAY_KEY).expect("a key");
    let signature = key.sign(&response_message(&timestamp, NONCE, b"")).expect("a signature");
    let headers: HeaderMap = [
        ("wechatpay-timestamp", timestamp.as_str()),
        ("wechatpay-nonce", NONCE),
        ("wechatpay-serial", PUBLIC_KEY_ID),
        ("wechatpay-signature", &STANDARD.encode(signature)),
    ]
    .into_iter()
    .map(|(name, value)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
    })
    .collect();
    let verified = verify_response(&ring, &SystemClock, &headers, Bytes::new()).await;
    let request_id = Some("08F5B8C2B506102C18FD-0".to_owned());
    let host = "api.mch.weixin.qq.com";
    Response::new(StatusCode::NO_CONTENT, request_id, host, verified.expect("genuine"))
}

fn terminate(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let plans = DeliveryPlans::new(Responses(runtime.block_on(no_content())));
    let plan_id = PlanId::new("12000").expect("an id");
    criterion.bench_function("terminate, without its transport", |b| {
        b.to_async(&runtime).iter(|| plans.terminate(black_box(&plan_id)));
    });
}

criterion_group!(benches, terminate);
criterion_main!(benches);
