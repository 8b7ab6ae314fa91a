//! The download of platform certificates, the key that signs, and calls that a test adds.

use std::sync::Arc;

use serde_json::json;
use wxpay_auth::{
    ApiV3Key, Certificate, EncryptedResource, KeyRing, PublicKey, SystemClock, Timestamp,
    WechatpaySerial, verify_response,
};
use wxpay_testing::{CustomResponse, Gateway, Misbehaviour, SignWith};

use crate::common::{Call, PLANS, Response};

const CERTIFICATES: &str = "/v3/certificates";

async fn get(gateway: &Gateway, target: &str) -> Response {
    Call::get(gateway, target).send(&gateway.base_url()).await
}

/// Returns the certificates in a list, with their serials and the end that the list names.
fn opened(gateway: &Gateway, response: &Response) -> Vec<(String, String, Certificate)> {
    let key = ApiV3Key::new(gateway.api_v3_key()).unwrap();
    let list = response.json();
    let open = |entry: &serde_json::Value| {
        let text = |name: &str| entry[name].as_str().unwrap().to_owned();
        let sealed = |name: &str| entry["encrypt_certificate"][name].as_str().unwrap().to_owned();
        assert_eq!(sealed("algorithm"), "AEAD_AES_256_GCM");
        let associated_data = Some(sealed("associated_data").into());
        let (nonce, ciphertext) = (sealed("nonce"), sealed("ciphertext"));
        let resource = EncryptedResource::aes_256_gcm(nonce, associated_data, ciphertext);
        let certificate = Certificate::from_pem(key.open(&resource).unwrap()).unwrap();
        (text("serial_no"), text("expire_time"), certificate)
    };
    list["data"].as_array().unwrap().iter().map(open).collect()
}

/// Verifies a response, and returns the key that signed it.
async fn signed_by(gateway: &Gateway, response: &Response) -> WechatpaySerial {
    let ring = KeyRing::new();
    let root = Certificate::from_pem(gateway.root_certificate_pem()).unwrap();
    let public_key = PublicKey::from_pem(gateway.public_key_pem()).unwrap();
    ring.insert_public_key(gateway.public_key_id(), public_key).unwrap();
    for (_, _, certificate) in opened(gateway, &get(gateway, CERTIFICATES).await) {
        certificate.require_issuer(&root).unwrap();
        ring.insert_certificate(&certificate).unwrap();
    }
    let body = response.body.clone();
    let verified = verify_response(&ring, &SystemClock, &response.headers, body).await.unwrap();
    verified.serial().clone()
}

#[tokio::test]
async fn the_list_has_the_certificates_that_are_there_now() {
    let gateway = Gateway::start().await;
    let first = get(&gateway, CERTIFICATES).await;
    assert_eq!(first.status, 200);
    let initial = Certificate::from_pem(gateway.platform_certificate_pem()).unwrap();
    let listed = opened(&gateway, &first);
    assert_eq!((listed.len(), &listed[0].2), (1, &initial));
    assert_eq!(listed[0].0, initial.serial_no().as_str());
    assert_ne!(get(&gateway, CERTIFICATES).await.body, first.body, "each has a fresh nonce");

    let added = gateway.add_platform_certificate();
    let old = gateway.platform_certificates()[0].clone();
    assert!(gateway.set_expire_time(&old, Timestamp::from_unix_secs(1_798_732_800)));
    let listed = opened(&gateway, &get(&gateway, "/v3/certificates?algorithm_type=RSA").await);
    assert_eq!(listed[0].1, "2027-01-01T00:00:00+08:00");
    assert_eq!((&*listed[1].0, listed.len()), (added.as_str(), 2));
    assert!(gateway.remove_platform_certificate(&old));
    assert!(!gateway.remove_platform_certificate(&old), "it is gone");
    assert_eq!(gateway.platform_certificates(), [added]);
    let unknown = "5F".parse().unwrap();
    assert!(!gateway.set_expire_time(&unknown, Timestamp::from_unix_secs(1)));
}

#[tokio::test]
async fn the_key_that_signs_is_chosen() {
    let gateway = Gateway::start().await;
    let list = format!("{PLANS}/1004/delivery-plans");
    let signer = async |gateway: &Gateway| signed_by(gateway, &get(gateway, &list).await).await;
    let (public_key, old) = (gateway.public_key_id(), gateway.platform_certificates()[0].clone());
    let new = gateway.add_platform_certificate();
    assert_eq!(signer(&gateway).await, public_key);
    gateway.sign_with_platform_certificate();
    assert_eq!(signer(&gateway).await, old);
    gateway.sign_with(SignWith::Certificate(new.clone()));
    assert_eq!(signer(&gateway).await, new);
    gateway.sign_with(SignWith::InTurn);
    // The download in between takes every second turn.
    let in_turn = [get(&gateway, &list).await, get(&gateway, &list).await];
    let named: Vec<_> =
        in_turn.iter().map(|response| response.header("wechatpay-serial").unwrap()).collect();
    assert!(named.contains(&old.as_str()) && named.contains(&new.as_str()), "{named:?}");
}

#[tokio::test]
async fn a_request_may_name_the_key() {
    let gateway = Gateway::start().await;
    gateway.sign_with(SignWith::AsRequested);
    let list = format!("{PLANS}/1004/delivery-plans");
    let old = gateway.platform_certificates()[0].to_string();
    let new = gateway.add_platform_certificate().to_string();
    let public_key = gateway.public_key_id().to_string();
    for (requested, signs) in [
        (None, &new),
        (Some(&old), &old),
        (Some(&new), &new),
        (Some(&public_key), &public_key),
        (Some(&"5F".to_owned()), &new),
    ] {
        let call = Call::get(&gateway, &list);
        let call = match requested {
            Some(serial) => call.with("Wechatpay-Serial", serial),
            None => call,
        };
        let response = call.send(&gateway.base_url()).await;
        assert_eq!(response.header("wechatpay-serial"), Some(signs.as_str()), "{requested:?}");
    }
}

#[tokio::test]
async fn in_public_key_mode_there_is_no_list() {
    let gateway = Gateway::start().await;
    gateway.public_key_mode();
    let response = get(&gateway, CERTIFICATES).await;
    assert_eq!((response.status, &response.json()["code"]), (404, &"RESOURCE_NOT_EXISTS".into()));
    let id = gateway.public_key_id();
    assert_eq!(response.header("wechatpay-serial"), Some(id.as_str()));
}

#[tokio::test]
async fn a_call_that_a_test_adds_is_signed_and_comes_first() {
    let gateway = Gateway::start().await;
    gateway.on("POST", "/v3/x/{id}/y", |request| {
        assert_eq!((request.method(), request.query()), ("POST", "a=1"));
        assert_eq!(request.header("wechatpay-serial"), None);
        let id = request.segment(2).unwrap();
        CustomResponse::json(202, &json!({ "id": id, "body": request.json() }))
    });
    let target = "/v3/x/a%2Fb/y?a=1";
    let body = r#"{"n":1}"#;
    let call = Call::new("POST", target, body);
    let call = call.signed(&crate::common::Credentials::of(&gateway));
    let response = call.send(&gateway.base_url()).await;
    assert_eq!(response.status, 202);
    assert_eq!(response.json(), json!({ "id": "a/b", "body": { "n": 1 } }));
    assert_eq!(signed_by(&gateway, &response).await, gateway.public_key_id());
    assert_eq!(gateway.journal()[0].body(), body.as_bytes());

    // It replaces a call of the gateway, and a later one replaces it.
    let list = format!("{PLANS}/1004/delivery-plans");
    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    gateway.on("GET", &*list, move |_| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        CustomResponse::error(400, "PARAM_ERROR", "no")
    });
    assert_eq!(get(&gateway, &list).await.status, 400);
    gateway.on("GET", &*list, |_| CustomResponse::empty(204));
    assert_eq!(get(&gateway, &list).await.status, 204);
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 1);
    gateway.misbehave_once(Misbehaviour::Unsigned);
    assert_eq!(get(&gateway, &list).await.header("wechatpay-signature"), None);
    let forged = Call::new("GET", &list, "").send(&gateway.base_url()).await;
    assert_eq!(forged.status, 401, "only authentic requests reach it");
}
