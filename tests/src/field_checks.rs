//! Checks of a decryptor with the merchant key of the test gateway, wherever the key is.

use std::sync::Arc;

use wxpay_auth::pkcs11::Pkcs11Signer;
use wxpay_auth::{
    Certificate, FieldDecryptError, FieldDecryptor, FieldEncryptor, SecretText, Signer,
    WechatpaySerial,
};
use wxpay_security::{Echo, EchoRequest};
use wxpay_testing::Gateway;
use wxpay_transport::{BaseUrl, Client, Proxy};

use crate::chain;
use crate::token::{Token, certificate, reference};
use crate::token_checks::connect;

/// Encrypts for the merchant key, as WeChat Pay does.
pub fn encryptor() -> FieldEncryptor {
    let id = WechatpaySerial::new("PUB_KEY_ID_1").expect("an id");
    FieldEncryptor::with_public_key(id, reference().public_key()).expect("a key")
}

/// Checks texts of several lengths, at once; fields of OpenSSL; and fields that are not for this key.
pub async fn decrypts(name: &str, decryptor: Arc<dyn FieldDecryptor>) {
    let encryptor = encryptor();
    let texts = [0, 1, 100, 213, 214].map(|length| "x".repeat(length));
    let texts = texts.into_iter().chain(["张三".to_owned()]);
    let decrypting: Vec<_> = texts
        .map(|text| {
            let field = encryptor.encrypt(&text).expect("a field");
            let decryptor = Arc::clone(&decryptor);
            tokio::spawn(async move { (text, decryptor.decrypt(field.ciphertext()).await) })
        })
        .collect();
    for ended in decrypting {
        let (text, decrypted) = ended.await.expect("an end");
        let decrypted = decrypted.unwrap_or_else(|e| panic!("{name}: {}", chain(&e)));
        assert_eq!(decrypted.expose(), text, "{name}: {} bytes", text.len());
    }
    let of_openssl =
        include_str!("../../crates/wxpay-auth-core/testdata/fields/openssl-merchant/ciphertext");
    assert_eq!(decryptor.decrypt(of_openssl).await.expect("a text").expose(), "张三");

    let other_hash = include_str!(
        "../../crates/wxpay-auth-core/testdata/fields/openssl-merchant-sha256/ciphertext"
    );
    let pem = include_str!("../../crates/wxpay-auth-core/testdata/keys/wechat_pay_certificate.pem");
    let other = Certificate::from_pem(pem).expect("a certificate");
    let other = FieldEncryptor::with_certificate(&other).expect("a key").encrypt("张三");
    for field in [other_hash, other.expect("a field").ciphertext()] {
        let error = decryptor.decrypt(field).await.expect_err("it is not for this key");
        let is_mismatch = matches!(error, FieldDecryptError::Mismatch { .. });
        assert!(is_mismatch, "{name}: {}", chain(&error));
        let serial_no = certificate().serial_no().clone();
        assert!(error.to_string().contains(serial_no.as_str()), "{name}: {error}");
    }
    let error = decryptor.decrypt("AAAA").await.expect_err("it is too short");
    assert!(matches!(error, FieldDecryptError::Length { .. }), "{name}: {error}");
    let again = decryptor.decrypt(of_openssl).await;
    assert_eq!(again.unwrap_or_else(|e| panic!("{name}: {}", chain(&e))).expose(), "张三");
}

/// Checks the decryptor of a signer on a token, also after its login was lost.
pub async fn token_decrypts(token: &Token) {
    let signer = connect(token).await;
    let decryptor = signer.decryptor().unwrap_or_else(|e| panic!("{}: {}", token.name, chain(&e)));
    decrypts(token.name, Arc::new(decryptor.clone())).await;
    signer.sign(b"still there").await.unwrap_or_else(|e| panic!("{}", chain(&e)));

    token.session().logout().expect("a logout");
    decrypts(token.name, Arc::new(decryptor.clone())).await;

    echoes(signer.clone(), &decryptor).await;
    signer.shut_down().await.expect("an end");
    let field = encryptor().encrypt("张三").expect("a field");
    let error = decryptor.decrypt(field.ciphertext()).await.expect_err("it was shut down");
    assert!(matches!(error, FieldDecryptError::Unavailable { .. }), "{}", chain(&error));
    assert!(!error.hint().is_empty());
}

/// Sends an echo call with an encrypted text, and opens the response with this key.
async fn echoes(signer: Pkcs11Signer, decryptor: &dyn FieldDecryptor) {
    let certificate_pem =
        include_str!("../../crates/wxpay-auth-core/testdata/keys/issued_merchant_certificate.pem");
    let wechat_pay = wxpay_testing::WechatPay::builder()
        .merchant_certificate(Certificate::from_pem(certificate_pem).expect("a certificate"))
        .build();
    let gateway = Gateway::builder().wechat_pay(wechat_pay).start().await.expect("a gateway");
    let key_ring = gateway.key_ring();
    let client = Client::builder(gateway.mchid(), signer, key_ring.clone())
        .base_url(BaseUrl::new(gateway.base_url()).expect("an address"))
        .proxy(Proxy::none())
        .build()
        .expect("a client");
    let text = SecretText::new("张三");
    let field = key_ring.field_encryptor().expect("a key").encrypt(text.expose());
    let request = EchoRequest::new("x").encrypted(field.expect("a field"), text, decryptor);
    let echoed = Echo::new(client).send(&request).await;
    echoed.unwrap_or_else(|e| panic!("{}", chain(&e)));
}
