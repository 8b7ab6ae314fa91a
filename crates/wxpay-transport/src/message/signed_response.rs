//! Signed responses for tests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use wxpay_auth::{
    Clock, KeyRing, PrivateKey, PublicKey, SystemClock, Verified, response_message, verify_response,
};

/// The id of the key that signs the responses.
pub(crate) const SERIAL: &str = "PUB_KEY_ID_0000000000000024101100397200000006";

/// Returns a key ring that verifies the responses.
pub(crate) fn key_ring() -> KeyRing {
    const PUBLIC_KEY: &str = include_str!("../../testdata/keys/wechat_pay_public_key.pem");
    let (ring, key) = (KeyRing::new(), PublicKey::from_pem(PUBLIC_KEY).unwrap());
    ring.insert_public_key(SERIAL.parse().unwrap(), key).unwrap();
    ring
}

/// Returns the headers of a response with this body, signed now.
pub(crate) fn headers(body: &[u8]) -> HeaderMap {
    const KEY: &str = include_str!("../../testdata/keys/wechat_pay_private_key.pem");
    let (time, nonce) = (SystemClock.now().to_string(), "593BEC0C930BF1AFEB40B4A08C8FB242");
    let message = response_message(&time, nonce, body);
    let signature = STANDARD.encode(PrivateKey::from_pem(KEY).unwrap().sign(&message).unwrap());
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("wechatpay-timestamp", &*time),
        ("wechatpay-nonce", nonce),
        ("wechatpay-serial", SERIAL),
        ("wechatpay-signature", &signature),
    ] {
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// Signs and verifies a body.
pub(crate) async fn verified(body: &'static str) -> Verified<Bytes> {
    let (ring, headers) = (key_ring(), headers(body.as_bytes()));
    verify_response(&ring, &SystemClock, &headers, Bytes::from(body)).await.unwrap()
}
