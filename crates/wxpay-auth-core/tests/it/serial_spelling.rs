//! The serial of a platform certificate is compared as a number, in any spelling.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wxpay_auth_core::http::HeaderMap;
use wxpay_auth_core::{
    Certificate, KeyRing, PrivateKey, Timestamp, Verified, Verifier, VerifyError, response_message,
    verify_response,
};

const KEY: &str = include_str!("../../testdata/keys/wechat_pay_private_key.pem");
const BODY: &[u8] = b"{}";
const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

/// The serial of a real platform certificate.
const SERIAL: &str = "0C4AEF34B89340881BB2B25226393DC2E47F094B";

/// Issues a certificate with a serial of these bytes.
fn certificate(serial: &[u8]) -> Certificate {
    let mut params = rcgen::CertificateParams::default();
    params.serial_number = Some(serial.to_vec().into());
    let pem = params.self_signed(&rcgen::KeyPair::from_pem(KEY).unwrap()).unwrap().pem();
    Certificate::from_pem(pem).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

async fn verify(ring: &KeyRing, serial: &str) -> Result<Verified<&'static [u8]>, VerifyError> {
    let message = response_message(&NOW.to_string(), "nonce", BODY);
    let signature = PrivateKey::from_pem(KEY).unwrap().sign(&message).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("wechatpay-timestamp", NOW.as_unix_secs().into());
    headers.insert("wechatpay-nonce", "nonce".parse().unwrap());
    headers.insert("wechatpay-serial", serial.parse().unwrap());
    headers.insert("wechatpay-signature", STANDARD.encode(signature).parse().unwrap());
    verify_response(ring, &|| NOW, &headers, BODY).await
}

#[tokio::test]
async fn leading_zeros_and_lower_case_make_no_difference() {
    let ring = KeyRing::with_clock(|| NOW);
    ring.insert_certificate(&certificate(&bytes(SERIAL))).unwrap();
    // Many tools drop zeros of this one: a whole byte, or one more digit.
    ring.insert_certificate(&certificate(&bytes("00000A01"))).unwrap();
    for written in [
        SERIAL,
        &SERIAL[1..],
        &SERIAL.to_lowercase(),
        &SERIAL[1..].to_lowercase(),
        &format!("00{SERIAL}"),
        &format!("{}{SERIAL}", "0".repeat(24)),
        "A01",
        "0A01",
        "0a01",
        &format!("{:0>40}", "a01"),
        &format!("{:0>42}", "A01"),
    ] {
        let verified = verify(&ring, written).await.unwrap_or_else(|e| panic!("{written}: {e}"));
        assert_eq!(verified.serial().as_str(), written.to_uppercase());
    }
    for other in ["A010", "A1", "1A01", &format!("{SERIAL}0"), &SERIAL[2..], "PUB_KEY_ID_A01"] {
        let refused = verify(&ring, other).await.expect_err(other);
        assert!(matches!(refused, VerifyError::UnknownSerial { .. }), "{other}: {refused:?}");
    }
}

/// A request names the certificate with all its digits, as `openssl x509 -serial` prints them.
#[test]
fn all_digits_go_out() {
    let ring = KeyRing::with_clock(|| NOW);
    ring.insert_certificate(&certificate(&bytes(SERIAL))).unwrap();
    assert_eq!(ring.preferred_serial(NOW).unwrap().as_str(), SERIAL);
    assert!(ring.remove(&SERIAL[1..].to_lowercase().parse().unwrap()), "it is that number");
}
