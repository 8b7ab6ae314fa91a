//! Why an answer is not accepted: each cause, in its order.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test may panic"
)]

use std::collections::HashSet;

use wxpay_auth::http::{HeaderMap, HeaderName, HeaderValue};
use wxpay_auth::{KeyRing, PublicKey, Timestamp, VerifyError, is_signed, verify_response};

const PUBLIC_KEY: &str = include_str!("../testdata/keys/wechatpay_pub_key_doc.pem");
const HEADERS: &str =
    include_str!("../testdata/response/official-response-native-prepay-pubkey/headers.json");
const BODY: &[u8] =
    include_bytes!("../testdata/response/official-response-native-prepay-pubkey/body.bin");
const SIGNED_AT: u64 = 1_722_850_421;

fn headers() -> HeaderMap {
    let json: serde_json::Value = serde_json::from_str(HEADERS).unwrap();
    let pairs = json.as_object().unwrap().iter();
    pairs
        .map(|(n, v)| (n.parse::<HeaderName>().unwrap(), v.as_str().unwrap().parse().unwrap()))
        .collect()
}

fn ring() -> KeyRing {
    let ring = KeyRing::new();
    let id = "PUB_KEY_ID_0000000000000024101100397200000006".parse().unwrap();
    ring.insert_public_key(id, PublicKey::from_pem(PUBLIC_KEY).unwrap());
    ring
}

async fn verify_at(headers: &HeaderMap, now: u64) -> Result<(), VerifyError> {
    let clock = || Timestamp::from_unix_secs(now);
    verify_response(&ring(), &clock, headers, BODY).await.map(|_| ())
}

async fn with(name: &'static str, value: &str) -> VerifyError {
    let mut headers = headers();
    headers.insert(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    verify_at(&headers, SIGNED_AT).await.expect_err(value)
}

#[tokio::test]
async fn the_unchanged_answer_is_accepted() {
    verify_at(&headers(), SIGNED_AT).await.unwrap();
    // The signature type may be left out.
    let mut headers = headers();
    headers.remove("wechatpay-signature-type");
    verify_at(&headers, SIGNED_AT).await.unwrap();
}

#[tokio::test]
async fn each_header_is_needed_once() {
    assert!(is_signed(&headers()) && !is_signed(&HeaderMap::new()));
    for name in
        ["wechatpay-timestamp", "wechatpay-nonce", "wechatpay-serial", "wechatpay-signature"]
    {
        let mut missing = headers();
        missing.remove(name);
        assert!(is_signed(&missing), "three are left");
        let error = verify_at(&missing, SIGNED_AT).await.unwrap_err();
        let VerifyError::MissingHeader { name: named, .. } = error else { panic!("{error:?}") };
        assert!(named.eq_ignore_ascii_case(name));

        let empty = with(name, "").await;
        assert!(matches!(empty, VerifyError::MissingHeader { .. }), "{empty:?}");

        let mut twice = headers();
        twice.append(name, headers()[name].clone());
        let error = verify_at(&twice, SIGNED_AT).await.unwrap_err();
        let VerifyError::MalformedHeader { name: named, .. } = error else { panic!("{error:?}") };
        assert!(named.eq_ignore_ascii_case(name));

        let mut foreign = headers();
        foreign.insert(name, HeaderValue::from_bytes(&[0xe4, 0xb8, 0xad]).unwrap());
        let error = verify_at(&foreign, SIGNED_AT).await.unwrap_err();
        assert!(matches!(error, VerifyError::MalformedHeader { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn the_clock_window_is_300_seconds_on_both_sides() {
    for (now, seconds) in [
        (SIGNED_AT - 300, None),
        (SIGNED_AT + 300, None),
        (SIGNED_AT - 301, Some(301)),
        (SIGNED_AT + 301, Some(-301)),
        (0, Some(1_722_850_421)),
    ] {
        match (verify_at(&headers(), now).await, seconds) {
            (Ok(()), None) => {}
            (Err(VerifyError::ClockSkew { seconds, window: 300, .. }), Some(expected)) => {
                assert_eq!(seconds, expected);
            }
            (other, _) => panic!("{now}: {other:?}"),
        }
    }
    let late = verify_at(&headers(), SIGNED_AT + 1000).await.unwrap_err();
    assert!(late.to_string().contains("1000 s before the local clock"), "{late}");
}

#[tokio::test]
async fn odd_timestamps_are_malformed() {
    for odd in [
        "+1722850421",
        "-1",
        "1722850421.0",
        "17228504 21",
        "0x66b09bb5",
        "１７２２",
        "99999999999999999999999",
    ] {
        let error = with("wechatpay-timestamp", odd).await;
        assert!(
            matches!(error, VerifyError::MalformedHeader { name: "Wechatpay-Timestamp", .. }),
            "{odd}: {error:?}"
        );
    }
}

#[tokio::test]
async fn algorithms_serials_and_signatures() {
    let error = with("wechatpay-signature-type", "WECHATPAY2-SM2-WITH-SM3").await;
    assert!(matches!(error, VerifyError::UnsupportedAlgorithm), "{error:?}");
    let error = with("wechatpay-signature-type", "NEW").await;
    assert!(matches!(error, VerifyError::UnsupportedAlgorithm), "{error:?}");
    for serial in ["PUB_KEY_ID_9", "440024045C4A427599D09BB4E3DE0279F2E813FD", "garbage", "a b"] {
        let error = with("wechatpay-serial", serial).await;
        let VerifyError::UnknownSerial { serial: named, .. } = &error else { panic!("{error:?}") };
        assert_eq!(named, serial);
    }
    let long = with("wechatpay-serial", &"x".repeat(10_000)).await.to_string();
    assert!(long.len() < 300, "{long}");
    for signature in ["*", "AAA", "AA==A", "AAAA AAAA"] {
        let error = with("wechatpay-signature", signature).await;
        assert!(matches!(error, VerifyError::MalformedSignature), "{signature}: {error:?}");
    }
    for signature in ["AAAA", &"A".repeat(344)] {
        let error = with("wechatpay-signature", signature).await;
        assert!(matches!(error, VerifyError::Mismatch { .. }), "{signature}: {error:?}");
    }
    let error = with("wechatpay-signature", "WECHATPAY/SIGNTEST/").await;
    assert!(matches!(error, VerifyError::Probe { .. }), "{error:?}");
}

#[tokio::test]
async fn hints_say_different_things() {
    let mut errors = vec![
        with("wechatpay-nonce", "").await,
        with("wechatpay-timestamp", "x").await,
        with("wechatpay-signature", "WECHATPAY/SIGNTEST/x").await,
        with("wechatpay-timestamp", "1").await,
        with("wechatpay-signature-type", "x").await,
        with("wechatpay-serial", "x").await,
        with("wechatpay-signature", "AAAA").await,
    ];
    let id: wxpay_auth::WechatpaySerial = "PUB_KEY_ID_1".parse().unwrap();
    errors.push(VerifyError::unavailable(id, "the server is down"));
    let hints: HashSet<&str> = errors.iter().map(VerifyError::hint).collect();
    assert_eq!(hints.len(), errors.len(), "{hints:?}");
}

proptest::proptest! {
    #[test]
    fn nothing_foreign_is_ever_accepted(
        name in proptest::sample::select(vec![
            "wechatpay-timestamp", "wechatpay-nonce", "wechatpay-serial", "wechatpay-signature",
        ]),
        value in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
        body in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let clock = || Timestamp::from_unix_secs(SIGNED_AT);
        let refused = runtime.block_on(verify_response(&ring(), &clock, &headers(), &body));
        proptest::prop_assert!(refused.is_err(), "another body");
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let mut headers = headers();
            headers.insert(name, value);
            proptest::prop_assert!(runtime.block_on(verify_at(&headers, SIGNED_AT)).is_err());
        }
    }
}
