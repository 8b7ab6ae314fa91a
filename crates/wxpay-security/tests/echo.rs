//! Echo calls against the gateway.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

use serde_json::{Value, json};
use wxpay_auth::{
    Backend, Certificate, EncryptedField, FieldDecryptError, FileKeyDecryptor, KeyRing, NotReady,
    PrivateKey, SecretText, SignedMessage, Timestamp, Verifier, VerifyError, WechatpaySerial,
    async_trait,
};
use wxpay_security::{Echo, EchoError, EchoRequest};
use wxpay_testing::{Gateway, Misbehaviour};
use wxpay_transport::{BaseUrl, Client, Delivery, NoRetry, Proxy, Transport};

fn echo(gateway: &Gateway, verifier: impl Verifier + 'static) -> Echo<impl Transport> {
    let client = Client::builder(gateway.mchid(), gateway.signer(), verifier)
        .base_url(BaseUrl::new(gateway.base_url()).unwrap())
        .proxy(Proxy::none())
        .retry(NoRetry)
        .build()
        .unwrap();
    Echo::new(client)
}

fn decryptor(gateway: &Gateway) -> FileKeyDecryptor {
    let key = PrivateKey::from_pem_with(Backend::AwsLcRs, gateway.merchant_key_pem()).unwrap();
    let certificate = Certificate::from_pem(gateway.merchant_certificate_pem()).unwrap();
    FileKeyDecryptor::with_certificate(&key, &certificate).unwrap()
}

fn encrypted(ring: &KeyRing, text: &str) -> EncryptedField {
    ring.field_encryptor().unwrap().encrypt(text).unwrap()
}

fn platform_serial(gateway: &Gateway) -> WechatpaySerial {
    let certificate = Certificate::from_pem(gateway.platform_certificate_pem()).unwrap();
    certificate.serial_no().clone().into()
}

fn last_serial(gateway: &Gateway) -> Option<String> {
    let journal = gateway.journal();
    journal.last().unwrap().header("wechatpay-serial").map(str::to_owned)
}

#[tokio::test]
async fn a_text_is_echoed_and_the_signing_key_is_told() {
    let gateway = Gateway::start().await;
    let ring = gateway.key_ring();
    let echo = echo(&gateway, ring.clone());
    let echoed = echo.send(&EchoRequest::new("自检 0001")).await.unwrap();
    assert_eq!(echoed.signed_by, gateway.public_key_id());
    assert!(echoed.request_id.is_some());
    assert_eq!(last_serial(&gateway).as_deref(), Some(gateway.public_key_id().as_str()));

    gateway.sign_with_platform_certificate();
    ring.remove(&gateway.public_key_id());
    let echoed = echo.send(&EchoRequest::new("")).await.unwrap();
    assert_eq!(echoed.signed_by, platform_serial(&gateway));
    assert_eq!(last_serial(&gateway).as_deref(), Some(platform_serial(&gateway).as_str()));
}

#[tokio::test]
async fn an_encrypted_text_is_echoed_with_the_serial_of_its_key() {
    let gateway = Gateway::start().await;
    let (ring, decryptor) = (gateway.key_ring(), decryptor(&gateway));
    let of_certificates = gateway.key_ring();
    of_certificates.remove(&gateway.public_key_id());
    // The verifier prefers the public key.
    let echo = echo(&gateway, ring.clone());
    let secret = SecretText::new("张三");
    for (ring, serial) in
        [(&ring, gateway.public_key_id()), (&of_certificates, platform_serial(&gateway))]
    {
        let field = encrypted(ring, secret.expose());
        let request = EchoRequest::new("x").encrypted(field, secret.clone(), &decryptor);
        echo.send(&request).await.unwrap();
        assert_eq!(last_serial(&gateway).as_deref(), Some(serial.as_str()));
        let journal = gateway.journal();
        let body = String::from_utf8(journal.last().unwrap().body().to_vec()).unwrap();
        assert!(!body.contains("张三"), "{body}");
    }
}

#[tokio::test]
async fn a_response_that_is_no_echo_is_told_apart() {
    let gateway = Gateway::start().await;
    let ring = gateway.key_ring();
    let (echo, decryptor) = (echo(&gateway, ring.clone()), decryptor(&gateway));
    let other = |status: u16, body: Value| {
        let body = body.to_string();
        gateway.misbehave_once(Misbehaviour::UnexpectedSuccess { status, body });
    };
    let plain = EchoRequest::new("self-test-0001");

    other(200, json!({ "echo_message": "self-test-0002" }));
    let error = echo.send(&plain).await.unwrap_err();
    assert!(matches!(error, EchoError::Mismatch { field: "echo_message", .. }), "{error:?}");
    assert!(error.request_id().is_some() && !error.may_retry());
    assert_eq!(error.delivery(), Delivery::Answered);
    assert!(!format!("{error:?}").contains("0002"), "{error:?}");

    other(200, json!({ "message": "self-test-0001" }));
    let error = echo.send(&plain).await.unwrap_err();
    assert!(matches!(error, EchoError::Body(_)), "{error:?}");
    other(202, json!({ "echo_message": "self-test-0001" }));
    let error = echo.send(&plain).await.unwrap_err();
    assert!(error.to_string().starts_with("security.echo answered 202"), "{error}");

    // A field that was not asked for does no harm.
    other(200, json!({ "echo_message": "self-test-0001", "encrypted_echo_message": null }));
    echo.send(&plain).await.unwrap();

    let secret = SecretText::new("张三");
    let request =
        |field| EchoRequest::new("self-test-0001").encrypted(field, secret.clone(), &decryptor);
    other(200, json!({ "echo_message": "self-test-0001" }));
    let error = echo.send(&request(encrypted(&ring, "张三"))).await.unwrap_err();
    assert!(matches!(error, EchoError::NotEncrypted { .. }), "{error:?}");
    let error = echo.send(&request(encrypted(&ring, "李四"))).await.unwrap_err();
    let field = "encrypted_echo_message";
    assert!(matches!(error, EchoError::Mismatch { field: named, .. } if named == field));
    assert!(!format!("{error:?}").contains('张') && !format!("{error:?}").contains('李'));

    other(200, json!({ "echo_message": "self-test-0001", "encrypted_echo_message": "AAAA" }));
    let error = echo.send(&request(encrypted(&ring, "张三"))).await.unwrap_err();
    let EchoError::Decrypt { source, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(source, FieldDecryptError::Length { .. }), "{error:?}");
    assert_eq!(error.hint(), source.hint());
}

#[tokio::test]
async fn a_refusal_is_wechat_pays() {
    let gateway = Gateway::start().await;
    let echo = echo(&gateway, gateway.key_ring());
    let decryptor = decryptor(&gateway);
    // Encrypted for the certificate, and sent as if for the public key.
    let of_certificates = gateway.key_ring();
    of_certificates.remove(&gateway.public_key_id());
    let ciphertext = encrypted(&of_certificates, "张三").ciphertext().to_owned();
    let field = EncryptedField::new(gateway.public_key_id(), ciphertext);
    let request = EchoRequest::new("x").encrypted(field, SecretText::new("张三"), &decryptor);
    let error = echo.send(&request).await.unwrap_err();
    assert_eq!(error.api().unwrap().code(), Some("PARAM_ERROR"), "{error:?}");
    let unknown = WechatpaySerial::new("PUB_KEY_ID_1").unwrap();
    let field = EncryptedField::new(unknown, "AAAA");
    let request = EchoRequest::new("x").encrypted(field, SecretText::new("张三"), &decryptor);
    let error = echo.send(&request).await.unwrap_err();
    assert!(error.hint().contains("Wechatpay-Serial"), "{error:?}");
}

/// Asks for no key.
#[derive(Debug)]
struct Whichever(KeyRing);

#[async_trait]
impl Verifier for Whichever {
    fn preferred_serial(&self, _: Timestamp) -> Option<WechatpaySerial> {
        None
    }

    fn readiness(&self, now: Timestamp) -> Result<(), NotReady> {
        self.0.readiness(now)
    }

    async fn verify(&self, message: SignedMessage<'_>) -> Result<(), VerifyError> {
        self.0.verify(message).await
    }
}

#[tokio::test]
async fn a_verifier_without_preference_is_refused_and_the_hint_says_why() {
    let gateway = Gateway::start().await;
    let echo = echo(&gateway, Whichever(gateway.key_ring()));
    let error = echo.send(&EchoRequest::new("x")).await.unwrap_err();
    assert_eq!(error.api().unwrap().code(), Some("PARAM_ERROR"), "{error:?}");
    assert!(error.hint().contains("Wechatpay-Serial"), "{error:?}");
}

#[tokio::test]
async fn it_is_repeated_unless_it_causes_a_notification() {
    let gateway = Gateway::start().await;
    let client = Client::builder(gateway.mchid(), gateway.signer(), gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url()).unwrap())
        .proxy(Proxy::none())
        .build()
        .unwrap();
    let echo = Echo::new(client);
    gateway.misbehave_once(Misbehaviour::Probe);
    echo.send(&EchoRequest::new("x")).await.unwrap();
    assert_eq!(gateway.journal().len(), 2);
    gateway.misbehave_once(Misbehaviour::Probe);
    let request = EchoRequest::new("x").notify_url("https://notify.example.test/echo");
    let error = echo.send(&request).await.unwrap_err();
    assert!(matches!(error, EchoError::Transport(wxpay_transport::Error::Unverified(_))));
    assert_eq!(gateway.journal().len(), 3);
}
