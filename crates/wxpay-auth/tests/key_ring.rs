//! Keys side by side, swapped while they are used.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test may panic"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wxpay_auth::{
    Algorithm, Certificate, KeyRing, PrivateKey, PublicKey, SignedMessage, Timestamp, Verifier,
    VerifyError, WechatpaySerial,
};

const WECHATPAY_KEY: &str = include_str!("../testdata/keys/wechat_pay_private_key.pem");
const WECHATPAY_PUBLIC_KEY: &str = include_str!("../testdata/keys/wechat_pay_public_key.pem");
const WECHATPAY_CERTIFICATE: &str = include_str!("../testdata/keys/wechat_pay_certificate.pem");
const MERCHANT_CERTIFICATE: &str = include_str!("../testdata/keys/merchant_certificate.pem");
const DOC_PUBLIC_KEY: &str = include_str!("../testdata/keys/wechatpay_pub_key_doc.pem");

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

/// Signs, so that the verdicts below are about real signatures.
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
    ring.insert_public_key(id(1), public_key());
    ring.insert_public_key(id(2), PublicKey::from_pem(DOC_PUBLIC_KEY).unwrap());
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
    ring.insert_public_key(id(1), public_key());
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
async fn other_algorithms_are_refused() {
    let ring = ring();
    ring.insert_public_key(id(1), public_key());
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
    ring.insert_public_key(id(1), public_key());
    ring.insert_public_key(id(2), public_key());
    assert_eq!(ring.preferred_serial(NOW), Some(id(2)));
    assert_eq!(ring.serials().len(), 4);
}

#[tokio::test]
async fn clones_share_and_rings_replace() {
    let ring = ring();
    let clone = ring.clone();
    ring.insert_public_key(id(1), public_key());
    verify(&clone, &id(1), NOW).await.expect("a clone has the same keys");
    assert!(clone.remove(&id(1)) && !ring.remove(&id(1)));

    let next = KeyRing::new();
    next.insert_public_key(id(2), public_key());
    ring.replace_with(&next);
    assert_eq!(clone.serials(), [id(2)]);
    next.remove(&id(2));
    assert_eq!(clone.serials(), [id(2)], "replacing does not share");
}

#[tokio::test]
async fn references_and_boxes_verify_too() {
    let ring = ring();
    ring.insert_public_key(id(1), public_key());
    let (shared, boxed): (Arc<dyn Verifier>, Box<dyn Verifier>) =
        (Arc::new(ring.clone()), Box::new(ring.clone()));
    verify(&shared, &id(1), NOW).await.unwrap();
    verify(&boxed, &id(1), NOW).await.unwrap();
    verify(&&ring, &id(1), NOW).await.unwrap();
    assert_eq!(shared.preferred_serial(NOW), boxed.preferred_serial(NOW));
}

#[test]
fn keys_are_swapped_while_eight_threads_verify() {
    let ring = ring();
    ring.insert_public_key(id(1), public_key());
    ring.insert_public_key(id(2), PublicKey::from_pem(DOC_PUBLIC_KEY).unwrap());
    let signature = signature(b"message");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let verifying: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                    runtime.block_on(async {
                        let (mut held, mut not_held) = (0, 0);
                        while !done.load(Ordering::Relaxed) || held == 0 {
                            let serial = id(1);
                            let algorithm = Algorithm::Sha256Rsa2048;
                            let message =
                                SignedMessage::new(&serial, algorithm, b"message", &signature, NOW);
                            match ring.verify(message).await {
                                Ok(()) => held += 1,
                                Err(VerifyError::UnknownSerial { .. }) => not_held += 1,
                                Err(other) => panic!("{other:?}"),
                            }
                        }
                        (held, not_held)
                    })
                })
            })
            .collect();
        for _ in 0..2_000 {
            assert!(ring.remove(&id(1)));
            ring.insert_public_key(id(1), public_key());
        }
        done.store(true, Ordering::Relaxed);
        let verdicts: Vec<(u32, u32)> =
            verifying.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(verdicts.iter().all(|(held, _)| *held > 0), "{verdicts:?}");
    });
    assert_eq!(ring.serials().len(), 2);
}
