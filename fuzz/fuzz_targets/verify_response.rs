//! The headers and the body of a signed response. No key is available here, so whatever is verified must be
//! one of the responses that were really signed, unchanged.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use wxpay_auth::{Certificate, KeyRing, PublicKey, Timestamp, is_signed, verify_response};
use wxpay_fuzz::{Response, assert_good_error, run};

/// A response among the seeds that is signed with a key of the ring.
struct Genuine {
    signed_at: u64,
    nonce: &'static str,
    serial: &'static str,
    body: &'static [u8],
}

const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_0000000000000024101100397200000006";

const GENUINE: [Genuine; 2] = [
    Genuine {
        signed_at: 1_722_850_421,
        nonce: "d824f2e086d3c1df967785d13fcd22ef",
        serial: PUBLIC_KEY_ID,
        body: br#"{"code_url":"weixin://wxpay/bizpayurl?pr=JyC91EIz1"}"#,
    },
    Genuine {
        signed_at: 1_700_000_000,
        nonce: "5K8264ILTKCH16CQ2502SI8ZNMTM67VS",
        serial: "440024045C4A427599D09BB4E3DE0279F2E813FD",
        body: b"",
    },
];

static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let key = include_str!("../../crates/wxpay-auth-core/testdata/keys/wechatpay_pub_key_doc.pem");
    let certificate =
        include_str!("../../crates/wxpay-auth-core/testdata/keys/wechat_pay_certificate.pem");
    let ring = KeyRing::with_clock(|| Timestamp::from_unix_secs(1_700_000_000));
    let key = PublicKey::from_pem(key).expect("a key of the test data");
    ring.insert_public_key(PUBLIC_KEY_ID.parse().expect("an id"), key).expect("its kind");
    let certificate = Certificate::from_pem(certificate).expect("one of the test data");
    ring.insert_certificate(&certificate).expect("one that is valid then");
    ring
});

fuzz_target!(|input: &[u8]| {
    let Some(response) = Response::read(input) else { return };
    for genuine in &GENUINE {
        let now = Timestamp::from_unix_secs(genuine.signed_at + 4);
        let clock = || now;
        match run(verify_response(&*RING, &clock, &response.headers, response.body)) {
            Err(error) => assert_good_error(&error),
            Ok(verified) => {
                assert_eq!(verified.signed_at().as_unix_secs(), genuine.signed_at);
                assert_eq!(verified.serial().as_str(), genuine.serial);
                assert_eq!(*verified.body(), genuine.body);
                assert_eq!(response.headers["wechatpay-nonce"], genuine.nonce);
                assert!(is_signed(&response.headers));
            }
        }
    }
});
