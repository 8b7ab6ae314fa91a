//! Sensitive fields during the move to the public key.
#![cfg(feature = "fields")]

use wxpay_auth::{
    Backend, Clock, FieldEncryptError, FileKeyDecryptor, KeyRing, NotReady, PrivateKey, SecretText,
    Share, SystemClock, Timestamp,
};
use wxpay_security::{Echo, EchoRequest, MigrationVerifier, SerialPreference};
use wxpay_testing::{Gateway, SignWith};
use wxpay_transport::{BaseUrl, Client, NoRetry, Proxy};

#[tokio::test]
async fn encrypted_fields_follow_the_preference() {
    let gateway = Gateway::start().await;
    gateway.sign_with(SignWith::AsRequested);
    let ring = gateway.key_ring(); // of both kinds
    let verifier = MigrationVerifier::new(ring.clone(), ring.clone());
    let client = Client::builder(gateway.mchid(), gateway.signer(), verifier.clone())
        .base_url(BaseUrl::new(gateway.base_url()).unwrap())
        .proxy(Proxy::none())
        .retry(NoRetry)
        .build()
        .unwrap();
    let key = PrivateKey::from_pem_with(Backend::AwsLcRs, gateway.merchant_key_pem()).unwrap();
    let decryptor = FileKeyDecryptor::new(&key, gateway.serial_no()).unwrap();
    let echo = async || {
        let text = SecretText::new("张三");
        let encryptor = verifier.field_encryptor(SystemClock.now()).unwrap();
        let field = encryptor.encrypt(text.expose()).unwrap();
        let request = EchoRequest::new("self-test-0001").encrypted(field, text, &decryptor);
        Echo::new(client.clone()).send(&request).await.unwrap().signed_by.is_public_key_id()
    };
    assert!(!echo().await, "a certificate before the move");
    verifier.prefer(SerialPreference::PublicKey);
    assert!(echo().await);
    verifier.prefer(SerialPreference::Certificate);
    assert!(!echo().await, "and back");

    // The other kind, if there is none of the kind.
    for serial in gateway.platform_certificates() {
        ring.remove(&serial);
    }
    assert!(echo().await);
}

#[tokio::test]
async fn a_share_of_the_fields_is_encrypted_with_the_public_key() {
    let gateway = Gateway::start().await;
    let ring = gateway.key_ring();
    let verifier = MigrationVerifier::new(ring.clone(), ring);
    verifier.prefer(SerialPreference::PublicKeyShare(Share::new(0.1).unwrap()));
    let chosen = (0..1000).filter(|_| {
        let encryptor = verifier.field_encryptor(SystemClock.now()).unwrap();
        encryptor.serial().is_public_key_id()
    });
    assert!((90..=110).contains(&chosen.count()));

    let empty = MigrationVerifier::new(KeyRing::new(), KeyRing::new());
    let error = empty.field_encryptor(Timestamp::from_unix_secs(1_700_000_000)).unwrap_err();
    assert!(matches!(error, FieldEncryptError::NoKey(NotReady::NoKey)), "{error}");
}
