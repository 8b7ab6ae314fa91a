//! Several keys in a ring: which one verifies, and which one is preferred.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::DnType;
use wxpay_auth_core::http::{HeaderMap, HeaderValue};
use wxpay_auth_core::{
    Algorithm, Certificate, KeyError, KeyRing, NotReady, PrivateKey, PublicKey, SignedMessage,
    Timestamp, Verifier, VerifyError, WechatpaySerial, response_message, verify_response,
};

const WECHATPAY_KEY: &str = include_str!("../../testdata/keys/wechat_pay_private_key.pem");
const WECHATPAY_PUBLIC_KEY: &str = include_str!("../../testdata/keys/wechat_pay_public_key.pem");
const WECHATPAY_CERTIFICATE: &str = include_str!("../../testdata/keys/wechat_pay_certificate.pem");
const MERCHANT_CERTIFICATE: &str = include_str!("../../testdata/keys/merchant_certificate.pem");
const DOC_PUBLIC_KEY: &str = include_str!("../../testdata/keys/wechatpay_pub_key_doc.pem");

/// Within the validity of both published certificates.
const NOW: Timestamp = Timestamp::from_unix_secs(1_700_000_000);

fn id(n: u8) -> WechatpaySerial {
    WechatpaySerial::new(format!("PUB_KEY_ID_{n}")).unwrap()
}

fn ring() -> KeyRing {
    KeyRing::with_clock(|| NOW)
}

fn public_key() -> PublicKey {
    PublicKey::from_pem(WECHATPAY_PUBLIC_KEY).unwrap()
}

fn certificate() -> Certificate {
    Certificate::from_pem(WECHATPAY_CERTIFICATE).unwrap()
}

/// Returns a real signature, so that the verdicts below are about real ones.
fn signature(message: &[u8]) -> Vec<u8> {
    PrivateKey::from_pem(WECHATPAY_KEY).unwrap().sign(message).unwrap()
}

async fn verify(
    ring: &dyn Verifier,
    serial: &WechatpaySerial,
    at: Timestamp,
) -> Result<(), VerifyError> {
    let signature = signature(b"message");
    let message = SignedMessage::new(serial, Algorithm::Sha256Rsa2048, b"message", &signature, at);
    ring.verify(message).await
}

#[tokio::test]
async fn the_serial_chooses_the_key() {
    let ring = ring();
    ring.insert_public_key(id(1), public_key()).unwrap();
    ring.insert_public_key(id(2), PublicKey::from_pem(DOC_PUBLIC_KEY).unwrap()).unwrap();
    ring.insert_certificate(&certificate()).unwrap();
    let of_certificate = certificate().serial_no().clone().into();

    verify(&ring, &id(1), NOW).await.unwrap();
    verify(&ring, &of_certificate, NOW).await.expect("it has the same key");
    let other = verify(&ring, &id(2), NOW).await.unwrap_err();
    assert!(matches!(other, VerifyError::Mismatch { .. }), "{other:?}");
    let unknown = verify(&ring, &id(3), NOW).await.unwrap_err();
    assert!(matches!(unknown, VerifyError::UnknownSerial { .. }), "{unknown:?}");
}

#[tokio::test]
async fn the_validity_of_a_certificate_is_honoured() {
    let ring = ring();
    ring.insert_certificate(&certificate()).unwrap();
    ring.insert_public_key(id(1), public_key()).unwrap();
    let serial = certificate().serial_no().clone().into();
    let (first, last) =
        (certificate().not_before().as_unix_secs(), certificate().not_after().as_unix_secs());
    for (at, valid) in
        [(first - 1, false), (first, true), (last, true), (last + 1, false), (0, false)]
    {
        let at = Timestamp::from_unix_secs(at);
        let verdict = verify(&ring, &serial, at).await;
        match verdict {
            Ok(()) => assert!(valid, "{at}"),
            Err(VerifyError::KeyNotValid { now, .. }) => assert!(!valid && now == at, "{at}"),
            Err(other) => panic!("{other:?}"),
        }
        verify(&ring, &id(1), at).await.expect("a public key has no end");
        assert_eq!(ring.preferred_serial(at), Some(id(1)), "it is preferred");
    }
    ring.remove(&id(1));
    assert_eq!(ring.preferred_serial(NOW), Some(serial));
    assert_eq!(ring.preferred_serial(Timestamp::from_unix_secs(last + 1)), None);
}

#[tokio::test]
async fn debug_output_names_keys_and_sizes() {
    let ring = ring();
    ring.insert_public_key(id(1), public_key()).unwrap();
    ring.insert_certificate(&certificate()).unwrap();
    let shown = format!("{ring:?}");
    assert!(shown.contains("PUB_KEY_ID_1"), "{shown}");

    let (id, signature) = (id(1), signature(b"message"));
    let message = SignedMessage::new(&id, Algorithm::Sha256Rsa2048, b"message", &signature, NOW);
    let shown = format!("{message:?}");
    for part in ["PUB_KEY_ID_1", "[7 bytes]", "[256 bytes]", "1700000000"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    let headers = signed_headers(NOW.as_unix_secs());
    let verified = verify_response(&ring, &|| NOW, &headers, b"{}").await.unwrap();
    let shown = format!("{verified:?}");
    for part in [certificate().serial_no().as_str(), "[2 bytes]", "1700000000"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn what_is_missing_has_a_hint_of_its_own() {
    let missing = [
        (NotReady::no_key(), "insert_public_key"),
        (NotReady::expired(id(1), NOW), "certificate that is valid now"),
        (NotReady::not_valid_yet(id(1), NOW), "until then"),
        (NotReady::other("the vault is sealed"), "what its message asks for"),
    ];
    for (error, hint) in missing {
        assert!(error.hint().contains(hint), "{error}: {}", error.hint());
    }
}

/// A certificate is valid when added, but not when a response arrives.
#[tokio::test]
async fn a_certificate_ends_while_it_is_held() {
    let now = Arc::new(AtomicU64::new(NOW.as_unix_secs()));
    let clock = {
        let now = Arc::clone(&now);
        move || Timestamp::from_unix_secs(now.load(Ordering::Relaxed))
    };
    let ring = KeyRing::with_clock(clock.clone());
    ring.insert_certificate(&certificate()).unwrap();
    let last = certificate().not_after().as_unix_secs();

    for (at, valid) in [(NOW.as_unix_secs(), true), (last, true), (last + 1, false)] {
        now.store(at, Ordering::Relaxed);
        let response = verify_response(&ring, &clock, &signed_headers(at), b"{}").await;
        match response {
            Ok(verified) => assert!(valid && verified.signed_at() == clock(), "{at}"),
            Err(VerifyError::KeyNotValid { not_after, .. }) => {
                assert!(!valid && not_after.as_unix_secs() == last, "{at}");
            }
            Err(other) => panic!("{at}: {other:?}"),
        }
    }
    let expired = ring.insert_certificate(&certificate()).unwrap_err();
    assert!(matches!(expired, KeyError::CertificateExpired { .. }), "{expired:?}");
}

/// A certificate is added before it is valid: a new one is issued days before the old one expires.
#[tokio::test]
async fn a_certificate_waits_for_its_time() {
    let first = certificate().not_before().as_unix_secs();
    let early = Timestamp::from_unix_secs(first - 1);
    let ring = KeyRing::with_clock(move || early);
    ring.insert_certificate(&certificate()).expect("it is kept");
    assert_eq!(ring.preferred_serial(early), None);
    for (at, valid) in [(first - 1, false), (first, true)] {
        let clock = || Timestamp::from_unix_secs(at);
        let response = verify_response(&ring, &clock, &signed_headers(at), b"{}").await;
        assert_eq!(response.is_ok(), valid, "{response:?}");
        assert!(valid || matches!(response, Err(VerifyError::KeyNotValid { .. })), "{response:?}");
    }
}

/// Signs a response with the body `{}`, as the owner of the platform certificate would.
fn signed_headers(at: u64) -> HeaderMap {
    let signature = signature(&response_message(&at.to_string(), "nonce", b"{}"));
    let mut headers = HeaderMap::new();
    headers.insert("wechatpay-timestamp", at.into());
    headers.insert("wechatpay-nonce", HeaderValue::from_static("nonce"));
    headers.insert("wechatpay-serial", certificate().serial_no().as_str().parse().unwrap());
    headers.insert("wechatpay-signature", STANDARD.encode(signature).parse().unwrap());
    headers
}

#[tokio::test]
async fn other_algorithms_are_refused() {
    let ring = ring();
    ring.insert_public_key(id(1), public_key()).unwrap();
    let (serial, signature) = (id(1), signature(b"message"));
    let message = SignedMessage::new(&serial, Algorithm::Sm2WithSm3, b"message", &signature, NOW);
    let refused = ring.verify(message).await.unwrap_err();
    assert!(matches!(refused, VerifyError::UnsupportedAlgorithm), "{refused:?}");
}

#[test]
fn the_key_to_ask_for() {
    let ring = ring();
    assert_eq!(ring.preferred_serial(NOW), None);
    // Both certificates expire in the same minute; the platform's is the later one.
    ring.insert_certificate(&Certificate::from_pem(MERCHANT_CERTIFICATE).unwrap()).unwrap();
    ring.insert_certificate(&certificate()).unwrap();
    assert_eq!(ring.preferred_serial(NOW), Some(certificate().serial_no().clone().into()));
    ring.insert_public_key(id(1), public_key()).unwrap();
    ring.insert_public_key(id(2), public_key()).unwrap();
    assert_eq!(ring.preferred_serial(NOW), Some(id(2)));
    let merchant = Certificate::from_pem(MERCHANT_CERTIFICATE).unwrap();
    let [platform, merchant]: [WechatpaySerial; 2] =
        [certificate().serial_no().clone().into(), merchant.serial_no().clone().into()];
    assert_eq!(ring.serials(), [id(2), id(1), platform.clone(), merchant]);

    // Adding a key a second time adds nothing.
    ring.insert_public_key(id(2), public_key()).unwrap();
    ring.insert_certificate(&certificate()).unwrap();
    assert_eq!(ring.serials().len(), 4);
    assert!(ring.remove(&id(1)) && ring.remove(&id(2)));
    assert_eq!(ring.preferred_serial(NOW), Some(platform));
}

/// Issues a certificate with subject and issuer as in real ones of WeChat Pay.
fn issue(subject: &[(DnType, &str)], not_after: i32) -> Certificate {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (attribute, value) in subject {
        params.distinguished_name.push(attribute.clone(), *value);
    }
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(not_after, 12, 31);
    let key = rcgen::KeyPair::from_pem(WECHATPAY_KEY).unwrap();
    Certificate::from_pem(params.self_signed(&key).unwrap().pem()).unwrap()
}

#[test]
fn the_merchants_own_certificate_is_refused() {
    let ring = ring();
    let merchants = [
        (DnType::CommonName, "1900007291"),
        (DnType::OrganizationName, "微信商户系统"),
        (DnType::OrganizationalUnitName, "某某科技有限公司"),
        (DnType::CountryName, "CN"),
        (DnType::LocalityName, "ShenZhen"),
    ];
    for subject in [&merchants[..], &merchants[..1], &merchants[1..]] {
        let certificate = issue(subject, 2099);
        let refused = ring.insert_certificate(&certificate).unwrap_err();
        let KeyError::MerchantCertificate { serial_no, .. } = &refused else {
            panic!("{refused:?}")
        };
        assert_eq!(serial_no, certificate.serial_no());
        assert!(refused.hint().contains("pub_key.pem"), "{}", refused.hint());
        #[cfg(feature = "aws-lc-rs")]
        ring.insert_certificate_on(wxpay_auth_core::Backend::AwsLcRs, &certificate).unwrap_err();
    }
    assert!(ring.serials().is_empty());
    let platforms = [
        (DnType::CommonName, "Tenpay.com sign"),
        (DnType::CountryName, "CN"),
        (DnType::OrganizationName, "Tenpay.com"),
        (DnType::OrganizationalUnitName, "Tenpay.com CA Center"),
    ];
    ring.insert_certificate(&issue(&platforms, 2099)).unwrap();
    // Other subjects of platform certificates are not documented.
    ring.insert_certificate(&issue(&[], 2099)).unwrap();
}

#[test]
fn a_public_key_has_the_id_of_one() {
    let ring = ring();
    for serial in ["5F1C72E2A8931B72A2E13AF8DEE92471EB397115", "1900007291"] {
        let refused = ring.insert_public_key(serial.parse().unwrap(), public_key()).unwrap_err();
        assert!(matches!(refused, KeyError::NotPublicKeyId), "{refused:?}");
        assert!(refused.hint().contains("API安全"), "{}", refused.hint());
    }
    assert!(ring.serials().is_empty());
}

#[test]
fn a_ring_is_ready_with_a_key_that_is_valid() {
    let at = Timestamp::from_unix_secs;
    let ring = ring();
    assert_eq!(ring.readiness(NOW), Err(NotReady::NoKey));
    ring.insert_certificate(&certificate()).unwrap();
    let (first, last) =
        (certificate().not_before().as_unix_secs(), certificate().not_after().as_unix_secs());
    let serial = WechatpaySerial::from(certificate().serial_no().clone());
    assert_eq!((ring.readiness(at(first)), ring.readiness(at(last))), (Ok(()), Ok(())));
    match ring.readiness(at(last + 1)) {
        Err(NotReady::Expired { serial: named, not_after, .. }) => {
            assert_eq!((named, not_after.as_unix_secs()), (serial.clone(), last));
        }
        other => panic!("{other:?}"),
    }
    match ring.readiness(at(first - 1)) {
        Err(NotReady::NotValidYet { serial: named, not_before, .. }) => {
            assert_eq!((named, not_before.as_unix_secs()), (serial.clone(), first));
        }
        other => panic!("{other:?}"),
    }

    // Of several, the nearest one is named: the merchant's expires in the same minute, but earlier.
    ring.insert_certificate(&Certificate::from_pem(MERCHANT_CERTIFICATE).unwrap()).unwrap();
    assert!(matches!(ring.readiness(at(last + 1)),
        Err(NotReady::Expired { serial: named, .. }) if named == serial));
    assert!(matches!(ring.readiness(at(0)),
        Err(NotReady::NotValidYet { serial: named, .. }) if named != serial));

    // Between the end of one certificate and the beginning of the next.
    let next = issue(&[], 2099);
    let ring = KeyRing::with_clock(move || at(0));
    ring.insert_certificate(&certificate_until_2019()).unwrap();
    ring.insert_certificate(&next).unwrap();
    let between = at(next.not_before().as_unix_secs() - 1);
    let waits = ring.readiness(between);
    assert!(matches!(waits, Err(NotReady::NotValidYet { .. })), "{waits:?}");

    ring.insert_public_key(id(1), public_key()).unwrap();
    assert_eq!(ring.readiness(between), Ok(()), "a public key has no end");
    let (shared, boxed): (Arc<dyn Verifier>, Box<dyn Verifier>) =
        (Arc::new(KeyRing::new()), Box::new(KeyRing::new()));
    for empty in [shared.readiness(NOW), boxed.readiness(NOW), (&&KeyRing::new()).readiness(NOW)] {
        assert_eq!(empty, Err(NotReady::NoKey));
    }
}

fn certificate_until_2019() -> Certificate {
    let mut params = rcgen::CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2015, 1, 1);
    params.not_after = rcgen::date_time_ymd(2019, 1, 1);
    let key = rcgen::KeyPair::from_pem(WECHATPAY_KEY).unwrap();
    Certificate::from_pem(params.self_signed(&key).unwrap().pem()).unwrap()
}

#[tokio::test]
async fn a_key_is_replaced_by_one_of_the_same_id() {
    let ring = ring();
    ring.insert_public_key(id(1), PublicKey::from_pem(DOC_PUBLIC_KEY).unwrap()).unwrap();
    let wrong = verify(&ring, &id(1), NOW).await.unwrap_err();
    assert!(matches!(&wrong, VerifyError::Mismatch { serial, .. } if *serial == id(1)), "{wrong}");
    ring.insert_public_key(id(1), public_key()).unwrap();
    verify(&ring, &id(1), NOW).await.unwrap();
}

#[cfg(feature = "aws-lc-rs")]
#[tokio::test]
async fn certificates_verify_on_the_other_back_end_too() {
    let serial = certificate().serial_no().clone().into();
    let ring = ring();
    ring.insert_certificate_on(wxpay_auth_core::Backend::AwsLcRs, &certificate()).unwrap();
    verify(&ring, &serial, NOW).await.unwrap();

    let last = certificate().not_after();
    let late = Timestamp::from_unix_secs(last.as_unix_secs() + 1);
    let expired = verify(&ring, &serial, late).await.unwrap_err();
    assert!(matches!(expired, VerifyError::KeyNotValid { .. }), "{expired:?}");
    let ring = KeyRing::with_clock(move || late);
    let refused = ring.insert_certificate_on(wxpay_auth_core::Backend::AwsLcRs, &certificate());
    assert!(matches!(refused, Err(KeyError::CertificateExpired { .. })), "{refused:?}");
}

#[tokio::test]
async fn clones_share_and_rings_replace() {
    let ring = ring();
    let clone = ring.clone();
    ring.insert_public_key(id(1), public_key()).unwrap();
    verify(&clone, &id(1), NOW).await.expect("a clone has the same keys");
    assert!(clone.remove(&id(1)) && !ring.remove(&id(1)));

    let next = KeyRing::new();
    next.insert_public_key(id(2), public_key()).unwrap();
    ring.replace_with(&next);
    assert_eq!(clone.serials(), [id(2)]);
    next.remove(&id(2));
    assert_eq!(clone.serials(), [id(2)], "replacing does not share");
}

#[tokio::test]
async fn references_and_boxes_verify_too() {
    let ring = ring();
    ring.insert_public_key(id(1), public_key()).unwrap();
    let (shared, boxed): (Arc<dyn Verifier>, Box<dyn Verifier>) =
        (Arc::new(ring.clone()), Box::new(ring.clone()));
    verify(&shared, &id(1), NOW).await.unwrap();
    verify(&boxed, &id(1), NOW).await.unwrap();
    verify(&&ring, &id(1), NOW).await.unwrap();
    assert_eq!(shared.preferred_serial(NOW), boxed.preferred_serial(NOW));
}

/// Issues a certificate with this serial for the key that signs.
fn issued(serial: u8, name: &str) -> Certificate {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(rcgen::SerialNumber::from(vec![serial; 20]));
    let key = rcgen::KeyPair::from_pem(WECHATPAY_KEY).unwrap();
    Certificate::from_pem(params.self_signed(&key).unwrap().pem()).unwrap()
}

#[tokio::test]
async fn certificates_are_replaced_together_and_public_keys_stay() {
    let ring = ring();
    ring.insert_public_key(id(1), public_key()).unwrap();
    ring.insert_certificate(&certificate()).unwrap();
    let (one, two) = (issued(1, "Tenpay.com sign"), issued(2, "Tenpay.com sign"));
    let serial = |certificate: &Certificate| {
        WechatpaySerial::new(certificate.serial_no().as_str().trim_start_matches('0')).unwrap()
    };
    ring.replace_certificates([(serial(&one), &one), (serial(&two), &two)]).unwrap();
    let held: Vec<_> = ring.serials().iter().map(ToString::to_string).collect();
    assert_eq!(
        held,
        ["PUB_KEY_ID_1".to_owned(), serial(&two).to_string(), serial(&one).to_string()]
    );
    assert!(held[1].starts_with("20202"), "its digits are kept as they were given: {held:?}");
    verify(&ring, &serial(&one), NOW).await.unwrap();
    let after = Timestamp::from_unix_secs(NOW.as_unix_secs() + 601);
    let gone = verify(&ring, &certificate().serial_no().clone().into(), after).await.unwrap_err();
    assert!(matches!(gone, VerifyError::UnknownSerial { .. }), "{gone:?}");

    // One that is refused changes nothing.
    let merchants = issued(3, "1900007291");
    let expired = KeyRing::with_clock(|| Timestamp::from_unix_secs(u64::MAX));
    for (ring, given, refused) in [
        (&ring, serial(&one), &two),
        (&ring, serial(&merchants), &merchants),
        (&expired, serial(&two), &two),
    ] {
        let before = ring.serials();
        assert!(ring.replace_certificates([(serial(&one), &one), (given, refused)]).is_err());
        assert_eq!(ring.serials(), before);
    }
    ring.replace_certificates([]).unwrap();
    assert_eq!(ring.serials(), [id(1)]);
}

/// A response that was signed before WeChat Pay's list changed may arrive after it.
#[tokio::test]
async fn a_certificate_that_was_replaced_verifies_for_a_while_and_is_used_for_nothing_else() {
    let now = Arc::new(AtomicU64::new(NOW.as_unix_secs()));
    let clock = {
        let now = Arc::clone(&now);
        move || Timestamp::from_unix_secs(now.load(Ordering::Relaxed))
    };
    let later = |secs| Timestamp::from_unix_secs(NOW.as_unix_secs() + secs);
    let ring = KeyRing::with_clock(clock);
    ring.insert_certificate(&certificate()).unwrap();
    let old: WechatpaySerial = certificate().serial_no().clone().into();
    ring.replace_certificates([]).unwrap();

    assert!(ring.serials().is_empty());
    assert_eq!((ring.preferred_serial(NOW), ring.preferred_certificate(NOW)), (None, None));
    assert_eq!(ring.readiness(NOW), Err(NotReady::NoKey));
    #[cfg(feature = "aws-lc-rs")]
    assert!(ring.field_encryptor().is_err());
    // Another list does not prolong it, and does not end it.
    now.store(later(300).as_unix_secs(), Ordering::Relaxed);
    let new = issued(1, "Tenpay.com sign");
    ring.replace_certificates([(new.serial_no().clone().into(), &new)]).unwrap();
    assert_eq!(ring.serials(), [new.serial_no().clone().into()]);
    verify(&ring, &old, later(600)).await.unwrap();
    let gone = verify(&ring, &old, later(601)).await.unwrap_err();
    assert!(matches!(gone, VerifyError::UnknownSerial { .. }), "{gone:?}");

    // It is listed again; and it can be removed at once.
    let both = [(old.clone(), &certificate()), (new.serial_no().clone().into(), &new)];
    ring.replace_certificates(both).unwrap();
    verify(&ring, &old, later(5000)).await.unwrap();
    ring.replace_certificates([]).unwrap();
    assert!(ring.remove(&old));
    let gone = verify(&ring, &old, later(301)).await.unwrap_err();
    assert!(matches!(gone, VerifyError::UnknownSerial { .. }), "{gone:?}");

    // Its own end comes first.
    let last = certificate().not_after();
    now.store(last.as_unix_secs(), Ordering::Relaxed);
    ring.insert_certificate(&certificate()).unwrap();
    ring.replace_certificates([]).unwrap();
    let late = Timestamp::from_unix_secs(last.as_unix_secs() + 1);
    let ended = verify(&ring, &old, late).await.unwrap_err();
    assert!(matches!(ended, VerifyError::KeyNotValid { .. }), "{ended:?}");
}

#[test]
fn each_kind_has_its_preferred_key() {
    let ring = ring();
    assert_eq!((ring.preferred_certificate(NOW), ring.preferred_public_key()), (None, None));
    ring.insert_certificate(&certificate()).unwrap();
    ring.insert_public_key(id(1), public_key()).unwrap();
    ring.insert_public_key(id(2), public_key()).unwrap();
    let serial: WechatpaySerial = certificate().serial_no().clone().into();
    assert_eq!(ring.preferred_certificate(NOW), Some(serial));
    assert_eq!(ring.preferred_public_key(), Some(id(2)));
    let after = Timestamp::from_unix_secs(certificate().not_after().as_unix_secs() + 1);
    assert_eq!(ring.preferred_certificate(after), None);
}
