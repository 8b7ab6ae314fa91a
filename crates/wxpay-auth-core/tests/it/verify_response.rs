//! Why a response is not accepted: each cause, in order.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use wxpay_auth_core::http::{HeaderMap, HeaderName, HeaderValue};
use wxpay_auth_core::{
    CLOCK_WINDOW_SECS, Certificate, KeyRing, PublicKey, Timestamp, VerifyError, is_signed,
    verify_response,
};

const PUBLIC_KEY: &str = include_str!("../../testdata/keys/wechatpay_pub_key_doc.pem");
const HEADERS: &str =
    include_str!("../../testdata/response/official-response-native-prepay-pubkey/headers.json");
const BODY: &[u8] =
    include_bytes!("../../testdata/response/official-response-native-prepay-pubkey/body.bin");
const SIGNED_AT: u64 = 1_722_850_421;

/// The required headers of a response.
const NEEDED: [&str; 4] =
    ["wechatpay-timestamp", "wechatpay-nonce", "wechatpay-serial", "wechatpay-signature"];

fn headers() -> HeaderMap {
    headers_of(HEADERS)
}

fn headers_of(json: &str) -> HeaderMap {
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let pairs = json.as_object().unwrap().iter();
    pairs
        .map(|(n, v)| (n.parse::<HeaderName>().unwrap(), v.as_str().unwrap().parse().unwrap()))
        .collect()
}

fn ring() -> KeyRing {
    let ring = KeyRing::new();
    let id = "PUB_KEY_ID_0000000000000024101100397200000006".parse().unwrap();
    ring.insert_public_key(id, PublicKey::from_pem(PUBLIC_KEY).unwrap()).unwrap();
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
async fn the_unchanged_response_is_accepted() {
    verify_at(&headers(), SIGNED_AT).await.unwrap();
    // The signature type is optional.
    let mut headers = headers();
    headers.remove("wechatpay-signature-type");
    verify_at(&headers, SIGNED_AT).await.unwrap();
}

#[tokio::test]
async fn a_response_without_a_body_is_signed_as_well() {
    let headers = headers_of(include_str!(
        "../../testdata/response/derived-empty-response-certificate/headers.json"
    ));
    let clock = || Timestamp::from_unix_secs(1_700_000_000);
    let ring = KeyRing::with_clock(clock);
    let certificate = include_str!("../../testdata/keys/wechat_pay_certificate.pem");
    ring.insert_certificate(&Certificate::from_pem(certificate).unwrap()).unwrap();

    let verified = verify_response(&ring, &clock, &headers, b"").await.unwrap();
    assert!(verified.into_body().is_empty());
    for body in ["\n", " ", "{}"] {
        let refused = verify_response(&ring, &clock, &headers, body).await.unwrap_err();
        assert!(matches!(refused, VerifyError::Mismatch { .. }), "{body:?}: {refused:?}");
    }
}

/// Returns the name of the variant.
fn variant(error: &VerifyError) -> &'static str {
    match error {
        VerifyError::Mismatch { .. } => "Mismatch",
        VerifyError::UnknownSerial { .. } => "UnknownSerial",
        VerifyError::MalformedSignature => "MalformedSignature",
        VerifyError::UnsupportedAlgorithm => "UnsupportedAlgorithm",
        VerifyError::ClockSkew { .. } => "ClockSkew",
        VerifyError::MalformedHeader { .. } => "MalformedHeader",
        VerifyError::Probe { .. } => "Probe",
        VerifyError::MissingHeader { .. } => "MissingHeader",
        _ => "another",
    }
}

/// Breaks one part after the other, from the last that is checked to the first: each time, the error is about
/// the part that was broken last, whatever else is broken.
#[tokio::test]
async fn causes_come_in_their_documented_order() {
    let mut headers = headers();
    for (name, value, cause) in [
        ("wechatpay-nonce", "another", "Mismatch"),
        ("wechatpay-serial", "PUB_KEY_ID_9", "UnknownSerial"),
        ("wechatpay-serial", "garbage", "UnknownSerial"),
        ("wechatpay-signature", "*", "MalformedSignature"),
        ("wechatpay-signature-type", "x", "UnsupportedAlgorithm"),
        ("wechatpay-timestamp", "1", "ClockSkew"),
        ("wechatpay-timestamp", "x", "MalformedHeader"),
        ("wechatpay-signature", "WECHATPAY/SIGNTEST/*", "Probe"),
        ("wechatpay-nonce", "", "MissingHeader"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
        let error = verify_at(&headers, SIGNED_AT).await.expect_err(name);
        assert_eq!(variant(&error), cause, "{name}: {value}: {error}");
    }
}

#[tokio::test]
async fn each_header_is_needed_once() {
    assert!(is_signed(&headers()) && !is_signed(&HeaderMap::new()));
    for name in NEEDED {
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
        assert!(error.to_string().ends_with("more than once"), "{error}");
        let VerifyError::RepeatedHeader { name: named, .. } = error else { panic!("{error:?}") };
        assert!(named.eq_ignore_ascii_case(name));

        let mut foreign = headers();
        foreign.insert(name, HeaderValue::from_bytes(&[0xe4, 0xb8, 0xad]).unwrap());
        let error = verify_at(&foreign, SIGNED_AT).await.unwrap_err();
        let VerifyError::MalformedHeader { name: named, .. } = error else { panic!("{error:?}") };
        assert!(named.eq_ignore_ascii_case(name));
    }
}

#[tokio::test]
async fn the_signature_type_may_stand_there_once() {
    let mut twice = headers();
    twice.append("wechatpay-signature-type", HeaderValue::from_static("WECHATPAY2-SM2-WITH-SM3"));
    let mut foreign = headers();
    foreign.insert("wechatpay-signature-type", HeaderValue::from_bytes(&[0xff]).unwrap());
    let error = verify_at(&twice, SIGNED_AT).await.unwrap_err();
    assert!(
        matches!(error, VerifyError::RepeatedHeader { name: "Wechatpay-Signature-Type", .. }),
        "{error:?}"
    );
    let error = verify_at(&foreign, SIGNED_AT).await.unwrap_err();
    assert!(
        matches!(error, VerifyError::MalformedHeader { name: "Wechatpay-Signature-Type", .. }),
        "{error:?}"
    );
    for odd in ["", "wechatpay2-sha256-rsa2048", "WECHATPAY2-SHA256-RSA2048 "] {
        let error = with("wechatpay-signature-type", odd).await;
        assert!(matches!(error, VerifyError::UnsupportedAlgorithm), "{odd:?}: {error:?}");
    }
}

#[tokio::test]
async fn the_clock_window_is_300_seconds_on_both_sides() {
    assert_eq!(CLOCK_WINDOW_SECS, 300);
    for (now, seconds) in [
        (SIGNED_AT, None),
        (SIGNED_AT - 300, None),
        (SIGNED_AT + 300, None),
        (SIGNED_AT - 301, Some(301)),
        (SIGNED_AT + 301, Some(-301)),
        (0, Some(1_722_850_421)),
        (u64::MAX, Some(i64::MIN)),
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
    let early = verify_at(&headers(), SIGNED_AT - 1000).await.unwrap_err();
    assert!(early.to_string().contains("1000 s after the local clock"), "{early}");

    let largest = with("wechatpay-timestamp", "18446744073709551615").await;
    assert!(matches!(largest, VerifyError::ClockSkew { seconds: i64::MAX, .. }), "{largest:?}");
}

#[tokio::test]
async fn odd_timestamps_are_malformed() {
    for odd in [
        "+1722850421",
        "-1",
        " 1722850421",
        "1722850421 ",
        "1722850421.0",
        "1.0",
        "1e9",
        "17228504 21",
        "0x66b09bb5",
        "１７２２",
        "18446744073709551616",
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
    // An SM2 key is never held: the error is about the algorithm, not about the key.
    let mut sm2 = headers();
    sm2.insert("wechatpay-signature-type", HeaderValue::from_static("WECHATPAY2-SM2-WITH-SM3"));
    sm2.insert("wechatpay-serial", HeaderValue::from_static("PUB_KEY_ID_9"));
    let error = verify_at(&sm2, SIGNED_AT).await.unwrap_err();
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
async fn a_foreign_serial_is_shown_on_one_line_and_shortened() {
    let serial = format!("a\tb{}", "c".repeat(1000));
    let shown = format!("a b{}", "c".repeat(117));
    let unknown = with("wechatpay-serial", &serial).await;
    assert_eq!(
        unknown.to_string(),
        format!("the response is signed by {shown}, which is not held")
    );
    let mut headers = headers();
    headers.insert("wechatpay-serial", serial.parse().unwrap());
    headers.insert("wechatpay-signature", HeaderValue::from_static("WECHATPAY/SIGNTEST/x"));
    let probe = verify_at(&headers, SIGNED_AT).await.unwrap_err();
    assert!(matches!(probe, VerifyError::Probe { serial, .. } if serial == shown));
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
        with("wechatpay-signature", "*").await,
        with("wechatpay-signature", "AAAA").await,
    ];
    let id: wxpay_auth_core::WechatpaySerial = "PUB_KEY_ID_1".parse().unwrap();
    errors.push(VerifyError::unavailable(id, "the server is down"));
    let hints: HashSet<&str> = errors.iter().map(VerifyError::hint).collect();
    assert_eq!(hints.len(), errors.len(), "{hints:?}");
    let texts: HashSet<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), errors.len(), "{texts:?}");
    for error in errors {
        let (text, hint) = (error.to_string(), error.hint());
        assert!(hint.len() > 20 && !hint.contains('\n'), "{text}: {hint}");
        assert!(!text.contains('\n') && text.starts_with(char::is_lowercase), "{text}");
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn header_values() -> impl Strategy<Value = HeaderValue> {
    let visible = vec(32..127_u8, 0..60);
    let any = vec(any::<u8>(), 0..60);
    let near = select(vec!["1722850421", "WECHATPAY/SIGNTEST/", "PUB_KEY_ID_", "AAAA", "=", ""]);
    let near = near.prop_map(|text| text.as_bytes().to_vec());
    prop_oneof![visible, any, near]
        .prop_filter_map("no header value", |bytes| HeaderValue::from_bytes(&bytes).ok())
}

proptest! {
    #[test]
    fn another_body_is_never_accepted(body in vec(any::<u8>(), 0..200)) {
        let clock = || Timestamp::from_unix_secs(SIGNED_AT);
        let refused = run(verify_response(&ring(), &clock, &headers(), &body));
        prop_assert!(matches!(refused, Err(VerifyError::Mismatch { .. })), "{:?}", refused);
    }

    #[test]
    fn another_header_is_never_accepted(name in select(&NEEDED[..]), value in header_values()) {
        prop_assume!(headers()[name] != value);
        let mut headers = headers();
        headers.insert(name, value);
        prop_assert!(run(verify_at(&headers, SIGNED_AT)).is_err());
    }

    #[test]
    fn no_set_of_headers_is_accepted(
        given in vec((select(&NEEDED[..]), header_values()), 0..10),
        now in prop_oneof![Just(SIGNED_AT), any::<u64>()],
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(name, value);
        }
        let refused = run(verify_at(&headers, now));
        prop_assert!(refused.is_err());
    }
}
