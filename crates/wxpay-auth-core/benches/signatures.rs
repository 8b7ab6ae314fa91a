//! The steps of a call in this crate, one by one: messages, header, signatures, verification.
//!
//! ```sh
//! cargo bench -p wxpay-auth-core --bench signatures --features aws-lc-rs
//! ```

#![allow(clippy::expect_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue};
use tokio::runtime::{Builder, Runtime};
use wxpay_auth_core::{
    Algorithm, Backend, Clock, Identity, KeyRing, Mchid, Nonce, NonceSource, PrivateKey, PublicKey,
    Signature, SystemClock, SystemNonce, Timestamp, authorization, request_message,
    response_message, verify_response,
};

const MERCHANT_KEY: &str = include_str!("../testdata/keys/merchant_private_key.pem");
const WECHATPAY_KEY: &str = include_str!("../testdata/keys/wechat_pay_private_key.pem");
const WECHATPAY_PUBLIC_KEY: &str = include_str!("../testdata/keys/wechat_pay_public_key.pem");
const SERIAL_NO: &str = "5F1C72E2A8931B72A2E13AF8DEE92471EB397115";
const TARGET: &str = "/v3/marketing/partner/delivery-plan/delivery-plans/12000/terminate";
const NONCE: &str = "593BEC0C930BF1AFEB40B4A08C8FB242";

fn backends() -> Vec<Backend> {
    vec![
        Backend::Ring,
        #[cfg(feature = "aws-lc-rs")]
        Backend::AwsLcRs,
    ]
}

fn without_keys(criterion: &mut Criterion) {
    let timestamp = Timestamp::from_unix_secs(1_554_208_460);
    criterion.bench_function("nonce", |b| b.iter(|| SystemNonce::new().nonce()));
    criterion.bench_function("message of a request", |b| {
        b.iter(|| request_message("POST", black_box(TARGET), timestamp, NONCE, b""));
    });
    criterion.bench_function("message of a response", |b| {
        b.iter(|| response_message("1722850421", NONCE, black_box(b"{}")));
    });
    let identity = Identity::from(Mchid::new("1900007291").expect("a number"));
    let nonce = Nonce::new(NONCE).expect("a nonce");
    let signature = Signature::new(SERIAL_NO.parse().expect("a serial"), vec![0x5a; 256]);
    let algorithm = Algorithm::Sha256Rsa2048;
    criterion.bench_function("Authorization", |b| {
        b.iter(|| authorization(&identity, algorithm, &nonce, timestamp, black_box(&signature)));
    });
}

fn signing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sign");
    let message = request_message("POST", TARGET, SystemClock.now(), NONCE, b"");
    for backend in backends() {
        let key = PrivateKey::from_pem_with(backend, MERCHANT_KEY).expect("a key");
        group.bench_function(BenchmarkId::from_parameter(backend), |b| {
            b.iter(|| key.sign(black_box(&message)));
        });
    }
}

/// Returns the headers of a response without a body.
fn signed_headers(serial: &str) -> HeaderMap {
    let timestamp = SystemClock.now().to_string();
    let key = PrivateKey::from_pem(WECHATPAY_KEY).expect("a key");
    let signature = key.sign(&response_message(&timestamp, NONCE, b"")).expect("a signature");
    let signature = STANDARD.encode(signature);
    let value = |text: &str| HeaderValue::from_str(text).expect("a value");
    HeaderMap::from_iter([
        (http::HeaderName::from_static("wechatpay-timestamp"), value(&timestamp)),
        (http::HeaderName::from_static("wechatpay-nonce"), value(NONCE)),
        (http::HeaderName::from_static("wechatpay-serial"), value(serial)),
        (http::HeaderName::from_static("wechatpay-signature"), value(&signature)),
    ])
}

fn serial(number: usize) -> String {
    format!("PUB_KEY_ID_{number:034}")
}

/// Measures bare verification, and `verify_response` with 1 to 64 keys in the ring.
fn verifying(criterion: &mut Criterion) {
    let runtime: Runtime = Builder::new_current_thread().build().expect("a runtime");
    let mut group = criterion.benchmark_group("verify");
    let message = response_message("1722850421", NONCE, b"");
    let signature = PrivateKey::from_pem(WECHATPAY_KEY).expect("a key").sign(&message);
    let signature = signature.expect("a signature");
    for backend in backends() {
        let key = PublicKey::from_pem(WECHATPAY_PUBLIC_KEY).expect("a key");
        let key = key.with_backend(backend).expect("a key");
        group.bench_function(BenchmarkId::new("bare", backend), |b| {
            b.iter(|| assert!(key.verifies(black_box(&message), &signature)));
        });
        for keys in [1, 4, 16, 64] {
            let ring = KeyRing::new();
            for number in 0..keys {
                ring.insert_public_key(serial(number).parse().expect("an id"), key.clone())
                    .expect("its kind");
            }
            let headers = signed_headers(&serial(keys / 2));
            group.bench_function(
                BenchmarkId::new(format!("response, {backend}, keys"), keys),
                |b| {
                    b.to_async(&runtime).iter(|| async {
                        verify_response(&ring, &SystemClock, &headers, b"").await.expect("genuine");
                    });
                },
            );
        }
    }
}

criterion_group!(benches, without_keys, signing, verifying);
criterion_main!(benches);
