//! Sensitive fields, up and down.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::DnType;
use wxpay_auth_core::{
    Backend, Certificate, FieldDecryptError, FieldDecryptor, FieldEncryptError, FieldEncryptor,
    FileKeyDecryptor, KeyError, KeyRing, NotReady, PrivateKey, PublicKey, SerialNo, Timestamp,
    WechatpaySerial,
};

const MERCHANT_KEY: &str = include_str!("../../testdata/keys/merchant_private_key.pem");
const MERCHANT_CERTIFICATE: &str = include_str!("../../testdata/keys/merchant_certificate.pem");
const WECHATPAY_KEY: &str = include_str!("../../testdata/keys/wechat_pay_private_key.pem");
const WECHATPAY_PUBLIC_KEY: &str = include_str!("../../testdata/keys/wechat_pay_public_key.pem");

const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

fn id(n: u8) -> WechatpaySerial {
    WechatpaySerial::new(format!("PUB_KEY_ID_{n}")).unwrap()
}

fn serial_no() -> SerialNo {
    Certificate::from_pem(MERCHANT_CERTIFICATE).unwrap().serial_no().clone()
}

fn decryptor(pem: &str) -> FileKeyDecryptor {
    let key = PrivateKey::from_pem_with(Backend::AwsLcRs, pem).unwrap();
    FileKeyDecryptor::new(&key, serial_no()).unwrap()
}

fn encryptor() -> FieldEncryptor {
    let key = PublicKey::from_pem(WECHATPAY_PUBLIC_KEY).unwrap();
    FieldEncryptor::with_public_key(id(1), &key).unwrap()
}

#[tokio::test]
async fn a_field_of_openssl_is_decrypted() {
    let field = include_str!("../../testdata/fields/openssl-merchant/ciphertext");
    let text = decryptor(MERCHANT_KEY).decrypt(field).await.unwrap();
    assert_eq!(text.expose(), include_str!("../../testdata/fields/openssl-merchant/plaintext"));
    let shared: Arc<dyn FieldDecryptor> = Arc::new(Box::new(decryptor(MERCHANT_KEY)));
    assert_eq!(shared.decrypt(field).await.unwrap(), text);
    assert_eq!((&&shared).decrypt(field).await.unwrap(), text);
}

/// With another hash, as key services default to.
#[tokio::test]
async fn another_padding_or_another_key_is_a_mismatch() {
    let other_hash = include_str!("../../testdata/fields/openssl-merchant-sha256/ciphertext");
    let right = include_str!("../../testdata/fields/openssl-merchant/ciphertext");
    let mut changed = STANDARD.decode(right).unwrap();
    changed[200] ^= 1;
    for (field, key) in [
        (other_hash, MERCHANT_KEY),
        (right, WECHATPAY_KEY),
        (&STANDARD.encode(changed), MERCHANT_KEY),
        (&STANDARD.encode([0xff; 256]), MERCHANT_KEY),
        (&STANDARD.encode([0; 256]), MERCHANT_KEY),
    ] {
        let error = decryptor(key).decrypt(field).await.unwrap_err();
        assert!(matches!(error, FieldDecryptError::Mismatch { .. }), "{error:?}");
        assert!(error.to_string().contains(serial_no().as_str()), "{error}");
        assert!(!error.is_transient());
    }
    let error = decryptor(MERCHANT_KEY).decrypt("no Base64!").await.unwrap_err();
    assert!(matches!(error, FieldDecryptError::NotBase64), "{error:?}");
    let error = decryptor(MERCHANT_KEY).decrypt("AAAA").await.unwrap_err();
    let FieldDecryptError::Length { length, expected, .. } = error else { panic!("{error:?}") };
    assert_eq!((length, expected), (3, 256));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_all_lengths_come_back_also_at_once() {
    let (encryptor, decryptor) = (encryptor(), decryptor(WECHATPAY_KEY));
    assert_eq!(encryptor.most_bytes(), 214);
    let decrypting: Vec<_> = (0..=214)
        .map(|length| {
            let text: String = "0123456789".chars().cycle().take(length).collect();
            let field = encryptor.encrypt(&text).unwrap();
            assert_eq!((field.serial(), field.ciphertext().len()), (&id(1), 344));
            let decryptor = decryptor.clone();
            tokio::spawn(async move { (text, decryptor.decrypt(field.ciphertext()).await) })
        })
        .collect();
    for ended in decrypting {
        let (text, decrypted) = ended.await.unwrap();
        assert_eq!(decrypted.unwrap().expose(), text);
    }
}

#[test]
fn the_length_counts_in_bytes() {
    let encryptor = encryptor();
    encryptor.encrypt("文".repeat(71)).unwrap();
    let error = encryptor.encrypt("文".repeat(72)).unwrap_err();
    assert_eq!(error.to_string(), "the text has 216 bytes in UTF-8; at most 214 can be encrypted");
    assert!(!format!("{error:?}").contains('文'), "{error:?}");
    encryptor.encrypt("x".repeat(214)).unwrap();
    let error = encryptor.encrypt("x".repeat(215)).unwrap_err();
    let FieldEncryptError::TooLong { length, most, .. } = error else { panic!("{error:?}") };
    assert_eq!((length, most), (215, 214));
}

#[test]
fn no_two_ciphertexts_are_equal() {
    let encryptor = encryptor();
    assert_ne!(encryptor.encrypt("张三").unwrap(), encryptor.encrypt("张三").unwrap());
}

#[tokio::test]
async fn what_is_not_utf_8_is_no_text() {
    // The key service of another language may have encrypted GBK.
    let key = PublicKey::from_pem(WECHATPAY_PUBLIC_KEY).unwrap();
    let key = wxpay_auth_core::internal::fields::OaepPublicKey::new(&key).unwrap();
    let gbk = STANDARD.encode(key.encrypt(&[0xd5, 0xc5, 0xc8, 0xfd]).unwrap());
    let error = decryptor(WECHATPAY_KEY).decrypt(&gbk).await.unwrap_err();
    assert!(matches!(error, FieldDecryptError::NotUtf8), "{error:?}");
}

#[test]
fn a_key_read_for_ring_says_what_can() {
    let key = PrivateKey::from_pem(MERCHANT_KEY).unwrap();
    let error = FileKeyDecryptor::new(&key, serial_no()).unwrap_err();
    assert!(matches!(error, KeyError::CannotDecrypt { library: "ring", .. }), "{error:?}");
    assert!(error.hint().contains("AwsLcRs"), "{}", error.hint());
    let other = PrivateKey::from_pem_with(Backend::AwsLcRs, WECHATPAY_KEY).unwrap();
    let certificate = Certificate::from_pem(MERCHANT_CERTIFICATE).unwrap();
    let error = FileKeyDecryptor::with_certificate(&other, &certificate).unwrap_err();
    assert!(matches!(error, KeyError::CertificateMismatch { .. }), "{error:?}");
}

/// Issues a platform certificate, valid from the beginning of one year to the end of another.
fn platform(serial: u8, from: i32, to: i32) -> Certificate {
    let mut params = rcgen::CertificateParams::default();
    params.serial_number = Some(rcgen::SerialNumber::from(vec![serial; 20]));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Tenpay.com sign");
    (params.not_before, params.not_after) =
        (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(to, 12, 31));
    let key = rcgen::KeyPair::from_pem(WECHATPAY_KEY).unwrap();
    Certificate::from_pem(params.self_signed(&key).unwrap().pem()).unwrap()
}

#[test]
fn the_newest_certificate_encrypts_and_a_public_key_before_it() {
    let ring = KeyRing::with_clock(|| NOW);
    let error = ring.field_encryptor().unwrap_err();
    assert!(matches!(error, FieldEncryptError::NoKey(NotReady::NoKey)), "{error:?}");

    // The newest ends first, and a newer one is not valid yet: it is 2023.
    let (old, new, next) =
        (platform(1, 2020, 2030), platform(2, 2022, 2027), platform(3, 2024, 2029));
    for certificate in [&next, &old, &new] {
        ring.insert_certificate(certificate).unwrap();
    }
    let serial = |certificate: &Certificate| WechatpaySerial::from(certificate.serial_no().clone());
    let encryptor = ring.field_encryptor().unwrap();
    assert_eq!(encryptor.serial(), &serial(&new));
    assert_eq!(encryptor.encrypt("张三").unwrap().serial(), &serial(&new));
    ring.remove(&serial(&new));
    assert_eq!(ring.field_encryptor().unwrap().serial(), &serial(&old));
    ring.remove(&serial(&old));
    let error = ring.field_encryptor().unwrap_err();
    assert!(matches!(error, FieldEncryptError::NoKey(NotReady::NotValidYet { .. })), "{error:?}");

    ring.insert_certificate(&new).unwrap();
    let key = PublicKey::from_pem(WECHATPAY_PUBLIC_KEY).unwrap();
    ring.insert_public_key(id(1), key.clone()).unwrap();
    ring.insert_public_key(id(2), key).unwrap();
    let preferred = wxpay_auth_core::Verifier::preferred_serial(&ring, NOW);
    assert_eq!(Some(ring.field_encryptor().unwrap().serial()), preferred.as_ref());
}

#[test]
fn only_keys_of_wechat_pay_encrypt() {
    let key = PublicKey::from_pem(WECHATPAY_PUBLIC_KEY).unwrap();
    let error = FieldEncryptor::with_public_key(serial_no().into(), &key).unwrap_err();
    assert!(matches!(error, KeyError::NotPublicKeyId), "{error:?}");
    FieldEncryptor::with_certificate(&platform(1, 2020, 2030)).unwrap();
    let merchants = include_str!("../../testdata/keys/issued_merchant_certificate.pem");
    let merchants = Certificate::from_pem(merchants).unwrap();
    let error = FieldEncryptor::with_certificate(&merchants).unwrap_err();
    assert!(matches!(error, KeyError::MerchantCertificate { .. }), "{error:?}");
}
