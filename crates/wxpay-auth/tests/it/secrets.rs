//! No `Debug` and no `Display` of a type shows a key, a signature, or a body.

use std::sync::Arc;

use crate::leaks::{self, CERTIFICATE, KEY, Secret, debug};
use wxpay_auth::http::HeaderMap;
use wxpay_auth::{
    Algorithm, ApiV3Key, Authorization, Backend, BrandId, CanarySigner, Certificate,
    CertificateRequest, CertificateSubject, EncryptedField, ExchangeableSigner, FieldDecryptors,
    FileKeySigner, Identity, KeyMaterial, KeyRing, Mchid, Nonce, PrivateKey, Scheme, SecretText,
    SerialNo, Share, SignErrorKind, Signature, SignedMessage, Signer, SignerUri, SystemClock,
    SystemNonce, Timestamp, Verifier, WechatpaySerial, authorization, response_message,
    verify_response,
};

const BODY: &[u8] = b"{\"Hq3ZtL8v\":\"Wc5RyB2nKd9MfJ6sGp4XzT7uQ1oE\",\"x\":[\"0aY\"]}";
const API_V3_KEY: &str = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb";
const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

/// Exports without a `Debug` implementation to test. Errors are tested in `secret_errors.rs`.
const NOT_HERE: &[&str] = &[
    "Clock",
    "FieldDecryptor",
    "NonceSource",
    "ResourceDecryptor",
    "Signer",
    "Verifier",
    "CLOCK_WINDOW_SECS",
    #[cfg(not(feature = "date-time"))]
    "DateTime",
    #[cfg(not(feature = "aws-lc-rs"))]
    "FieldEncryptor",
    #[cfg(not(feature = "aws-lc-rs"))]
    "FileKeyDecryptor",
];
const FIELD: &str = "Fk3Zt-Lq8vWc5-RyB2n";

#[tokio::test]
async fn no_type_shows_a_secret() {
    let key = PrivateKey::from_pem(KEY).unwrap();
    let certificate = Certificate::from_pem(CERTIFICATE).unwrap();
    let serial: WechatpaySerial = "PUB_KEY_ID_1".parse().unwrap();
    let message = response_message(&NOW.to_string(), "nonce", BODY);
    let bytes = key.sign(&message).unwrap();
    let signature = Signature::new(certificate.serial_no().clone(), bytes.clone());
    let mchid = Mchid::new("1900007291").unwrap();
    let identity = Identity::Merchant(mchid.clone());
    let nonce = Nonce::new("593BEC0C930BF1AFEB40B4A08C8FB242").unwrap();
    let algorithm = Algorithm::Sha256Rsa2048;
    let header = authorization(&identity, algorithm, &nonce, NOW, &signature).unwrap();
    let signer =
        FileKeySigner::with_certificate(PrivateKey::from_pem(KEY).unwrap(), &certificate).unwrap();
    let ring = KeyRing::with_clock(|| NOW);
    ring.insert_public_key(serial.clone(), key.public_key().clone()).unwrap();
    let not_ready = KeyRing::new().readiness(NOW).unwrap_err();
    let headers = signed(&serial, &signature);
    let verified = verify_response(&ring, &|| NOW, &headers, BODY.to_vec()).await.unwrap();
    let subject = CertificateSubject::new(&mchid).organization("company").unwrap();
    let request = CertificateRequest::sign(&subject, key.public_key(), &signer).await.unwrap();
    let (any_signer, any_verifier): (Arc<dyn Signer>, Box<dyn Verifier>) =
        (Arc::new(signer.clone()), Box::new(ring.clone()));

    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/keys");
    let address = format!("file:{keys}/merchant_private_key.pem");
    let address = address.parse::<SignerUri>().unwrap().certificate(certificate.clone());
    let at_address = address.connect().await.unwrap();

    let api_v3_key = ApiV3Key::new(API_V3_KEY).unwrap();
    let resource = api_v3_key.seal("uluk4a9R25RW", None, BODY).unwrap();

    let shown = [
        ("Algorithm", debug(&algorithm) + &algorithm.to_string()),
        ("ApiV3Key", debug(&api_v3_key)),
        ("Authorization", debug(&Authorization::parse(&header).unwrap())),
        ("Backend", debug(&Backend::Ring) + &Backend::Ring.to_string()),
        ("BrandId", debug(&BrandId::new("1004"))),
        ("CanarySigner", debug(&CanarySigner::new(signer.clone(), signer.clone()).unwrap())),
        ("Certificate", debug(&certificate)),
        ("CertificateRequest", debug(&request)),
        ("CertificateSubject", debug(&subject) + &subject.to_string()),
        #[cfg(feature = "date-time")]
        ("DateTime", debug(&"2026-01-01T00:00:00+08:00".parse::<wxpay_auth::DateTime>())),
        ("EncryptedField", debug(&EncryptedField::new(serial.clone(), signature.to_base64()))),
        ("EncryptedResource", debug(&resource)),
        ("ExchangeableSigner", debug(&ExchangeableSigner::new(signer.clone()))),
        ("FieldDecryptors", debug(&FieldDecryptors::new([]))),
        #[cfg(feature = "aws-lc-rs")]
        ("FieldEncryptor", debug(&ring.field_encryptor().unwrap())),
        #[cfg(feature = "aws-lc-rs")]
        ("FileKeyDecryptor", debug(&decryptor())),
        ("FileKeySigner", debug(&signer) + &debug(&any_signer)),
        ("Identity", debug(&identity)),
        ("KeyMaterial", debug(&KeyMaterial::PrivateKey) + &KeyMaterial::PrivateKey.to_string()),
        ("KeyRing", debug(&ring) + &debug(&any_verifier)),
        ("Mchid", debug(&mchid) + &mchid.to_string()),
        ("NotReady", debug(&not_ready) + &not_ready.to_string()),
        ("Nonce", debug(&nonce) + &nonce.to_string()),
        ("PrivateKey", debug(&key)),
        ("PublicKey", debug(key.public_key())),
        ("Scheme", debug(&Scheme::MerchantSha256Rsa2048)),
        ("SecretText", debug(&SecretText::new(FIELD))),
        ("SerialNo", debug(certificate.serial_no()) + &certificate.serial_no().to_string()),
        ("Share", debug(&Share::ALL) + &Share::ALL.to_string()),
        ("SignErrorKind", debug(&SignErrorKind::Other) + &SignErrorKind::Other.to_string()),
        ("Signature", debug(&signature)),
        ("SignedMessage", debug(&SignedMessage::new(&serial, algorithm, &message, &bytes, NOW))),
        ("SignerUri", debug(&"file:key.pem".parse::<SignerUri>().unwrap())),
        ("SystemClock", debug(&SystemClock)),
        ("SystemNonce", debug(&SystemNonce::new())),
        ("Timestamp", debug(&NOW) + &NOW.to_string()),
        ("UriSigner", debug(&at_address)),
        ("Verified", debug(&verified)),
        ("WechatpaySerial", debug(&serial) + &serial.to_string()),
    ];

    let mut secrets = leaks::secrets_of_the_key();
    secrets.push(Secret::new("the signature", bytes));
    secrets.push(Secret::new("the body", BODY));
    secrets.push(Secret::new(
        "the modulus, and what else is in the certificate",
        leaks::body(CERTIFICATE),
    ));
    leaks::assert_that_leaks_are_found(&secrets);
    for (name, shown) in &shown {
        assert!(shown.len() > 10, "{name} shows something: {shown:?}");
        assert_eq!(leaks::find(&secrets, shown), None, "{name}: {shown}");
        for short in [API_V3_KEY, &resource.ciphertext, FIELD] {
            let pieces = short.as_bytes().windows(8).map(|piece| str::from_utf8(piece).unwrap());
            assert!(!pieces.into_iter().any(|piece| shown.contains(piece)), "{name}: {shown}");
        }
    }
    let names = shown.iter().map(|(name, _)| *name).chain(NOT_HERE.iter().copied());
    assert_eq!(
        missing(&names.collect::<Vec<_>>()),
        Vec::<String>::new(),
        "every public type is shown"
    );

    let shown: String = shown.into_iter().map(|(_, shown)| shown).collect();
    let length = format!("[{} bytes]", BODY.len());
    for harmless in [certificate.serial_no().as_str(), "1900007291", "[256 bytes]", &length] {
        assert!(shown.contains(harmless), "{harmless} helps, and does no harm: {shown}");
    }
}

#[cfg(feature = "aws-lc-rs")]
fn decryptor() -> wxpay_auth::FileKeyDecryptor {
    let key = PrivateKey::from_pem_with(Backend::AwsLcRs, KEY).unwrap();
    let certificate = Certificate::from_pem(CERTIFICATE).unwrap();
    wxpay_auth::FileKeyDecryptor::with_certificate(&key, &certificate).unwrap()
}

fn signed(serial: &WechatpaySerial, signature: &Signature) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("wechatpay-timestamp", NOW.as_unix_secs().into());
    headers.insert("wechatpay-nonce", "nonce".parse().unwrap());
    headers.insert("wechatpay-serial", serial.as_str().parse().unwrap());
    headers.insert("wechatpay-signature", signature.to_base64().parse().unwrap());
    headers
}

/// Returns the exported types that are missing from the names. Errors are omitted.
fn missing(names: &[&str]) -> Vec<String> {
    let exports = include_str!("../../src/lib.rs").split("pub use ").skip(1);
    let exported: Vec<&str> = exports
        .filter_map(|export| export.split_once(';'))
        .flat_map(|(export, _)| export.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .filter(|name| name.starts_with(char::is_uppercase))
        .filter(|name| !name.ends_with("Error"))
        .filter(|name| !matches!(*name, "UnsupportedScheme" | "UnverifiedNotification"))
        .collect();
    assert!(exported.len() > 20, "{exported:?}");
    exported.into_iter().filter(|name| !names.contains(name)).map(str::to_owned).collect()
}

#[test]
fn a_serial_is_no_secret() {
    let serial = SerialNo::new("5F1C72E2A8931B72A2E13AF8DEE92471EB397115").unwrap();
    assert_eq!(leaks::find(&leaks::secrets_of_the_key(), &debug(&serial)), None);
}
