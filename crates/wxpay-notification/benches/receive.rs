//! Receiving a notification, beside its cryptography alone: one RSA verification, one AES-GCM decryption.
//!
//! ```sh
//! cargo bench -p wxpay-notification --bench receive
//! ```

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark may panic")]

use std::hint::black_box;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use criterion::{Criterion, criterion_group, criterion_main};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use wxpay_auth::{ApiV3Key, Timestamp, response_message};
use wxpay_notification::{
    Claim, MemoryReplayStore, NotificationEndpoint, NotificationReceiver, ReplayStore,
};
use wxpay_testing::WechatPay;

const NOW: Timestamp = Timestamp::from_unix_secs(1_798_732_800);
/// The head of an SPKI with a key of 2048 bits.
const HEAD: usize = 24;

fn receive(c: &mut Criterion) {
    let wechat_pay = WechatPay::builder().clock(|| NOW).build();
    let resource = r#"{"plan_id":"12000","plan_state":"TERMINATED","audit_state":"PASSED",
        "change_reason":"品牌终止","modify_time":"2027-01-02T03:04:05.120+08:00"}"#;
    let request = wechat_pay.notification("DELIVERY_PLAN.CHANGE", resource).request();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let key = || ApiV3Key::new(wechat_pay.api_v3_key()).unwrap();
    let receiver = || NotificationReceiver::new(wechat_pay.key_ring(), key()).clock(|| NOW);

    let pem: String =
        wechat_pay.public_key_pem().lines().filter(|line| !line.starts_with('-')).collect();
    let spki = STANDARD.decode(pem).unwrap();
    let public_key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, spki.split_at(HEAD).1);
    let header = |name| request.headers().get(name).unwrap().to_str().unwrap();
    let message =
        response_message(header("wechatpay-timestamp"), header("wechatpay-nonce"), request.body());
    let signature = STANDARD.decode(header("wechatpay-signature")).unwrap();
    let sealed = key().seal("fdasflkja484", Some("delivery"), resource.as_bytes()).unwrap();
    let sealed = STANDARD.decode(&*sealed.ciphertext).unwrap();

    let mut group = c.benchmark_group("notification");
    group.bench_function("cryptography alone", |b| {
        b.iter(|| {
            public_key.verify(black_box(&message), &signature).unwrap();
            let aes = UnboundKey::new(&AES_256_GCM, wechat_pay.api_v3_key().as_bytes()).unwrap();
            let nonce = Nonce::try_assume_unique_for_key(b"fdasflkja484").unwrap();
            let mut opened = sealed.clone();
            LessSafeKey::new(aes).open_in_place(nonce, Aad::from("delivery"), &mut opened).unwrap();
            opened
        });
    });
    let alone = receiver();
    group.bench_function("receive", |b| {
        b.to_async(&runtime)
            .iter(|| async { alone.receive_request(black_box(request.clone())).await.unwrap() });
    });
    let endpoint = NotificationEndpoint::new(receiver(), MemoryReplayStore::new());
    group.bench_function("endpoint, handed over before", |b| {
        b.to_async(&runtime).iter(|| async {
            let handler = |_| async { Ok::<(), std::io::Error>(()) };
            endpoint.handle(black_box(request.clone()), handler).await
        });
    });
    let store = MemoryReplayStore::new();
    let claim = Claim::new("EV-1").unwrap();
    group.bench_function("an id in memory", |b| {
        b.to_async(&runtime).iter(|| async {
            let hold = std::time::Duration::from_secs(30);
            store.begin(black_box(&claim), hold).await.unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, receive);
criterion_main!(benches);
