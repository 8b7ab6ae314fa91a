//! Sensitive fields, exchanged with OpenSSL in both directions.

use wxpay_auth::{
    Backend, Certificate, FieldDecryptor, FieldEncryptor, FileKeyDecryptor, PrivateKey,
};
use wxpay_testing::WechatPay;
use wxpay_tests::openssl::{decrypt_field, encrypt_field};

const TEXTS: [&str; 4] = ["", "张三", "13900000000", "x\n\0y"];

#[tokio::test]
async fn a_field_that_openssl_encrypts_is_decrypted() {
    let wechat_pay = WechatPay::builder().build();
    let key = PrivateKey::from_pem_with(Backend::AwsLcRs, wechat_pay.merchant_key_pem()).unwrap();
    let pem = wechat_pay.merchant_certificate_pem();
    let decryptor =
        FileKeyDecryptor::with_certificate(&key, &Certificate::from_pem(pem).unwrap()).unwrap();
    let longest = "x".repeat(214);
    for text in TEXTS.into_iter().chain([longest.as_str()]) {
        let field = encrypt_field(pem, text);
        assert_eq!(decryptor.decrypt(&field).await.unwrap().expose(), text, "{text:?}");
    }
}

#[test]
fn a_field_that_is_encrypted_is_decrypted_by_openssl() {
    let key_pem =
        include_str!("../../crates/wxpay-auth-core/testdata/keys/wechat_pay_private_key.pem");
    let certificate =
        include_str!("../../crates/wxpay-auth-core/testdata/keys/wechat_pay_certificate.pem");
    let certificate = Certificate::from_pem(certificate).unwrap();
    let encryptor = FieldEncryptor::with_certificate(&certificate).unwrap();
    let longest = "x".repeat(214);
    for text in TEXTS.into_iter().chain([longest.as_str()]) {
        let field = encryptor.encrypt(text).unwrap();
        assert_eq!(decrypt_field(key_pem, field.ciphertext()), text, "{text:?}");
    }
}
