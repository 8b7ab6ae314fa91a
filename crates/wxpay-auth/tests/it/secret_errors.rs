//! No error shows a key, a signature, or a body, neither itself nor in its sources or its hint.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::mem::{Discriminant, discriminant};
use std::path::Path;

use crate::leaks::{self, CERTIFICATE, KEY, Secret, debug};
use wxpay_auth::http::HeaderMap;
use wxpay_auth::{
    Algorithm, Authorization, AuthorizationError, BrandId, Certificate, CertificateRequest,
    CertificateRequestError, CertificateSubject, CertificateSubjectError, Error, FieldDecryptError,
    FileKeySigner, Identity, KeyError, KeyRing, Mchid, MchidError, Nonce, NonceError, NotReady,
    PrivateKey, PublicKey, SerialNo, SerialNoError, SignError, SignErrorKind, Signature, Signer,
    Timestamp, UnsupportedScheme, UnverifiedNotification, Verifier, VerifyError, WechatpaySerial,
    WechatpaySerialError, authorization, response_message, verify_response,
};

const BODY: &[u8] = b"{\"Hq3ZtL8v\":\"Wc5RyB2nKd9MfJ6sGp4XzT7uQ1oE\",\"x\":[\"0aY\"]}";
const OTHER_BODY: &[u8] = b"{\"uE5KpV9x\":\"7RbNw2YjC8sLm4HqFzD6tGa3\",\"y\":[\"1bZ\"]}";
const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

/// Formats an error with all its sources.
fn chain(error: &dyn StdError) -> String {
    let errors = std::iter::successors(Some(error), |&e| e.source());
    errors.fold(String::new(), |shown, e| shown + &e.to_string() + "\n" + &debug(&e))
}

/// Counts the variants among some errors, so that none is forgotten.
fn variants<E>(errors: &[E]) -> usize {
    errors.iter().map(discriminant).collect::<HashSet<Discriminant<E>>>().len()
}

fn testdata(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

fn certificate() -> Certificate {
    Certificate::from_pem(CERTIFICATE).unwrap()
}

/// Issues a certificate for the merchant's key, with the subject of a merchant.
fn merchants_certificate() -> Certificate {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "1900007291");
    let pem = params.self_signed(&rcgen::KeyPair::from_pem(KEY).unwrap()).unwrap().pem();
    Certificate::from_pem(pem).unwrap()
}

fn other_public_key() -> PublicKey {
    PublicKey::from_pem_file(testdata("keys/wechatpay_pub_key_doc.pem")).unwrap()
}

fn signature() -> Signature {
    let message = response_message(&NOW.to_string(), "nonce", BODY);
    let bytes = PrivateKey::from_pem(KEY).unwrap().sign(&message).unwrap();
    Signature::new(certificate().serial_no().clone(), bytes)
}

fn secrets() -> Vec<Secret> {
    let mut secrets = leaks::secrets_of_the_key();
    secrets.push(Secret::new("the signature", signature().as_bytes()));
    secrets.push(Secret::new("the signature, in a header", signature().to_base64()));
    secrets.push(Secret::new("the body", BODY));
    secrets
}

/// Asserts that errors show no secret, and have a hint.
fn assert_silent<E: Into<Error>>(secrets: &[Secret], errors: impl IntoIterator<Item = E>) {
    for error in errors.into_iter().map(E::into) {
        let shown = chain(&error) + error.hint();
        assert_eq!(leaks::find(secrets, &shown), None, "{shown}");
        assert!(!error.to_string().contains('\n'), "one line: {error}");
        assert!(error.hint().len() > 15, "{error}: {}", error.hint());
    }
}

#[test]
fn leaks_would_be_found() {
    leaks::assert_that_leaks_are_found(&secrets());
}

#[test]
fn errors_of_keys() {
    let private = |pem: String| PrivateKey::from_pem(pem).unwrap_err();
    let other_key = PrivateKey::from_pem_file(testdata("keys/apiclient_test_key.pem")).unwrap();
    let errors: [KeyError; 22] = [
        PrivateKey::from_pem_file(testdata("nothing")).unwrap_err(),
        PrivateKey::from_pem_file(testdata("keys")).unwrap_err(),
        PrivateKey::from_pem_file(KEY).unwrap_err(),
        private(KEY.replace("-----", "")),
        private(KEY.replace("PRIVATE", "ENCRYPTED PRIVATE")),
        PublicKey::from_pem(KEY).unwrap_err(),
        Certificate::from_pem(KEY).unwrap_err(),
        private(CERTIFICATE.to_owned()),
        private(KEY.replace("PRIVATE", "EC PRIVATE")),
        PrivateKey::from_pem_file(testdata("odd/rsa_4096.pem")).unwrap_err(),
        private(KEY.replace('A', "*")),
        private(KEY.replace('A', "B")),
        private(KEY.replace("-----END", "")),
        private(KEY.replace("PRIVATE", "RSA PRIVATE")),
        private(KEY.chars().flat_map(|c| [c, '\0']).collect()),
        PrivateKey::from_pem_file(testdata("odd/rsa_exponent_3.pem")).unwrap_err(),
        FileKeySigner::with_certificate(other_key, &certificate()).unwrap_err(),
        KeyRing::with_clock(|| Timestamp::from_unix_secs(u64::MAX))
            .insert_certificate(&certificate())
            .unwrap_err(),
        KeyRing::new().insert_certificate(&merchants_certificate()).unwrap_err(),
        KeyRing::new()
            .insert_public_key(certificate().serial_no().clone().into(), other_public_key())
            .unwrap_err(),
        certificate().require_issuer(&merchants_certificate()).unwrap_err(),
        KeyRing::with_clock(|| NOW)
            .replace_certificates([("1F".parse().unwrap(), &certificate())])
            .unwrap_err(),
    ];
    assert_eq!(variants(&errors), 18, "every variant of KeyError");
    let secrets = secrets();
    assert_silent(&secrets, errors);
}

#[test]
fn errors_of_fields() {
    let (serial_no, secrets) = (certificate().serial_no().clone(), secrets());
    let unavailable =
        |source: SignError| FieldDecryptError::unavailable(source.kind(), source.hint(), source);
    let errors: [FieldDecryptError; 6] = [
        FieldDecryptError::NotBase64,
        FieldDecryptError::length(255, 256, serial_no.clone()),
        FieldDecryptError::mismatch(serial_no),
        FieldDecryptError::NotUtf8,
        FieldDecryptError::key_cannot_decrypt(
            "the key may only sign",
            "use another key, which may",
        ),
        unavailable(SignError::new(SignErrorKind::Unavailable, "the line is dead")),
    ];
    assert_eq!(variants(&errors), 6, "every variant of FieldDecryptError");
    assert_silent(&secrets, errors);
}

#[cfg(feature = "aws-lc-rs")]
#[test]
fn errors_of_encryptors() {
    use wxpay_auth::{FieldEncryptError, FileKeyDecryptor};

    let (serial_no, secrets) = (certificate().serial_no().clone(), secrets());
    let ring = KeyRing::with_clock(|| NOW);
    let no_key = ring.field_encryptor().unwrap_err();
    ring.insert_certificate(&certificate()).unwrap();
    let read_for_ring = PrivateKey::from_pem(KEY).unwrap();
    let cannot_decrypt = FileKeyDecryptor::new(&read_for_ring, serial_no).unwrap_err();
    let errors: [FieldEncryptError; 4] = [
        no_key,
        ring.field_encryptor().unwrap().encrypt(KEY).unwrap_err(),
        cannot_decrypt.into(),
        FieldEncryptError::Failed,
    ];
    assert_eq!(variants(&errors), 4, "every variant of FieldEncryptError");
    assert_silent(&secrets, errors);
}

#[test]
fn errors_of_names() {
    let mchid = |given: &str| Mchid::new(given).unwrap_err();
    let unseen = format!("\u{feff}{}", &KEY[40..60]);
    let errors: [MchidError; 5] =
        [mchid(""), mchid(KEY), mchid("key"), mchid(&KEY[40..60]), mchid(&unseen)];
    assert_eq!(variants(&errors), 4, "every variant of MchidError");
    let secrets = secrets();
    assert_silent(&secrets, errors);

    let serial = |given: &str| SerialNo::new(given).unwrap_err();
    let errors: [SerialNoError; 4] =
        [serial("AB"), serial(KEY), serial(&format!("PUB_KEY_ID_{KEY}")), serial(&unseen)];
    assert_eq!(variants(&errors), 4, "every variant of SerialNoError");
    assert_silent(&secrets, errors);

    let serial = |given: &str| WechatpaySerial::new(given).unwrap_err();
    let errors: [WechatpaySerialError; 3] =
        [serial(KEY), serial(&format!("PUB_KEY_ID_{KEY}")), serial(&unseen)];
    assert_eq!(variants(&errors), 3, "every variant of WechatpaySerialError");
    assert_silent(&secrets, errors);
    assert_silent(&secrets, [NonceError::new()]);
}

#[test]
fn errors_of_verifiers_that_are_not_ready() {
    let ring = KeyRing::with_clock(|| NOW);
    let mut errors = vec![ring.readiness(NOW).unwrap_err(), NotReady::other("the line is dead")];
    ring.insert_certificate(&certificate()).unwrap();
    errors.push(ring.readiness(Timestamp::from_unix_secs(0)).unwrap_err());
    errors.push(ring.readiness(Timestamp::from_unix_secs(u64::MAX)).unwrap_err());
    assert_eq!(variants(&errors), 4, "every variant of NotReady");
    assert_silent(&secrets(), errors);
}

/// A signer of another algorithm.
#[derive(Debug)]
struct Sm2;

#[wxpay_auth::async_trait]
impl Signer for Sm2 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Sm2WithSm3
    }

    async fn sign(&self, _: &[u8]) -> Result<Signature, SignError> {
        Ok(signature())
    }
}

#[tokio::test]
async fn errors_of_certificate_requests() {
    let mchid = Mchid::new("1900007291").unwrap();
    let subject = || CertificateSubject::new(&mchid);
    let errors: [CertificateSubjectError; 4] = [
        subject().organization("").unwrap_err(),
        subject().organization(KEY.repeat(2)).unwrap_err(),
        subject().common_name(&KEY[..40]).unwrap_err(),
        subject().country(KEY).unwrap_err(),
    ];
    assert_eq!(variants(&errors), 4, "every variant of CertificateSubjectError");
    let secrets = secrets();
    assert_silent(&secrets, errors);

    let key = PrivateKey::from_pem(KEY).unwrap();
    let other = PrivateKey::from_pem_file(testdata("keys/apiclient_test_key.pem")).unwrap();
    let other = FileKeySigner::without_certificate(other);
    let error = CertificateRequest::sign(&subject(), key.public_key(), &other).await.unwrap_err();
    let refused = SignError::new(SignErrorKind::Unavailable, "the token is away");
    let sm2 = CertificateRequest::sign(&subject(), key.public_key(), &Sm2).await.unwrap_err();
    let errors: [CertificateRequestError; 3] = [error, refused.into(), sm2];
    // A failed encoding cannot be provoked.
    assert_eq!(variants(&errors), 3, "every variant of CertificateRequestError but one");
    assert_silent(&secrets, errors);
}

#[test]
fn errors_of_the_header() {
    let nonce = Nonce::new("593BEC0C930BF1AFEB40B4A08C8FB242").unwrap();
    let write = |identity: &Identity, algorithm| {
        authorization(identity, algorithm, &nonce, NOW, &signature())
    };
    let merchant = Identity::Merchant(Mchid::new("1900007291").unwrap());
    let header = write(&merchant, Algorithm::Sha256Rsa2048).unwrap();
    let read = |header: &str| Authorization::parse(header).unwrap_err();
    let base64 = signature().to_base64();
    let errors: [AuthorizationError; 10] = [
        read(&header.replace("WECHATPAY2", "WECHATPAY3")),
        read(&header.replace("signature=", "")),
        read(&header.replace("timestamp", "time")),
        read(&header.replace(",signature", ",mchid")),
        read(&header.replace("mchid=\"1900007291\",", "")),
        read(&header.replace("==\"", "\"")),
        read(&header.replace("1900007291", &base64)),
        read(&header.replace("5F1C72E2A8931B72A2E13AF8DEE92471EB397115", &base64)),
        read(&header.replace("1700000000", &base64)),
        read(&base64),
    ];
    assert_eq!(variants(&errors), 8, "every variant of AuthorizationError");
    let secrets = secrets();
    assert_silent(&secrets, errors);

    let brand = Identity::Brand(BrandId::new("1004").unwrap());
    let error: UnsupportedScheme = write(&brand, Algorithm::Sm2WithSm3).unwrap_err();
    assert_silent(&secrets, [error]);
}

#[test]
fn errors_of_signers() {
    let secrets = secrets();
    for kind in [
        SignErrorKind::Configuration,
        SignErrorKind::KeyNotFound,
        SignErrorKind::PermissionDenied,
        SignErrorKind::ApprovalPending,
        SignErrorKind::Throttled,
        SignErrorKind::Unavailable,
        SignErrorKind::Timeout,
        SignErrorKind::SessionLost,
        SignErrorKind::InvalidSignature,
        SignErrorKind::Unsupported,
        SignErrorKind::Other,
    ] {
        let error = SignError::new(kind, "the service says no")
            .with_source(std::io::Error::other("the line is dead"))
            .with_request_id("request 7")
            .with_approval_id("approval 8")
            .with_retry_after(std::time::Duration::from_secs(1));
        let shown = chain(&error);
        for told in ["the service says no", "the line is dead", "request 7", "approval 8"] {
            assert!(shown.contains(told), "{told}: {shown}");
        }
        assert_silent(&secrets, [error]);
    }
}

#[tokio::test]
async fn errors_of_responses_and_notifications() {
    let errors = unverified().await;
    assert_eq!(variants(&errors), 11, "every variant of VerifyError: {errors:?}");
    let mut secrets = secrets();
    secrets.push(Secret::new("the other body", OTHER_BODY));
    assert_silent(&secrets, errors);
    assert_silent(&secrets, unverified().await.into_iter().map(UnverifiedNotification::new));
}

/// Returns an error for each cause.
async fn unverified() -> Vec<VerifyError> {
    let public_key = || PrivateKey::from_pem(KEY).unwrap().public_key().clone();
    let serial: WechatpaySerial = "PUB_KEY_ID_1".parse().unwrap();
    let ring = KeyRing::with_clock(|| NOW);
    ring.insert_public_key(serial.clone(), public_key()).unwrap();
    ring.insert_certificate(&certificate()).unwrap();

    let mut errors = vec![VerifyError::unavailable(serial, "the server is down")];
    let of_certificate = certificate().serial_no().as_str().to_owned();
    for (name, value, now, body) in [
        ("wechatpay-nonce", "", NOW, BODY),
        ("wechatpay-timestamp", &signature().to_base64(), NOW, BODY),
        ("wechatpay-signature", "WECHATPAY/SIGNTEST/x", NOW, BODY),
        ("wechatpay-timestamp", "1", NOW, BODY),
        ("wechatpay-serial", "PUB_KEY_ID_2", NOW, BODY),
        ("wechatpay-signature-type", &signature().to_base64(), NOW, BODY),
        ("wechatpay-signature", &signature().to_base64()[1..], NOW, BODY),
        ("wechatpay-nonce", "another", NOW, BODY),
        ("wechatpay-nonce", "nonce", NOW, OTHER_BODY),
    ] {
        let headers = signed(name, value);
        errors.push(verify_response(&ring, &|| now, &headers, body).await.unwrap_err());
    }
    let mut headers = signed("wechatpay-serial", &of_certificate);
    headers.insert("wechatpay-timestamp", u64::MAX.into());
    let late = || Timestamp::from_unix_secs(u64::MAX);
    errors.push(verify_response(&ring, &late, &headers, BODY).await.unwrap_err());

    let mut headers = signed("wechatpay-nonce", "nonce");
    headers.append("wechatpay-nonce", signature().to_base64().parse().unwrap());
    errors.push(verify_response(&ring, &|| NOW, &headers, BODY).await.unwrap_err());

    errors
}

/// Returns the headers of a response with that body, with one header changed.
fn signed(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("wechatpay-timestamp", NOW.as_unix_secs().into());
    headers.insert("wechatpay-nonce", "nonce".parse().unwrap());
    headers.insert("wechatpay-serial", "PUB_KEY_ID_1".parse().unwrap());
    headers.insert("wechatpay-signature", signature().to_base64().parse().unwrap());
    headers.insert(name, value.parse().unwrap());
    headers
}
