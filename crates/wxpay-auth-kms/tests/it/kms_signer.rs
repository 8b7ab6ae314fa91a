//! `KmsSigner` with a scripted back end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use wxpay_auth_core::{Certificate, PrivateKey, PublicKey, SerialNo, SignErrorKind, Signer};
use wxpay_auth_kms::{KmsBackend, KmsError, KmsKey, KmsSigner};

use crate::panicking::{panic_twice, with_events};

const SERIAL_NO: &str = "5F1C72E2A8931B72A2E13AF8DEE92471EB397115";

fn private_key() -> PrivateKey {
    PrivateKey::from_pem(include_str!("../../testdata/keys/merchant_private_key.pem")).unwrap()
}

fn certificate() -> Certificate {
    Certificate::from_pem(include_str!("../../testdata/keys/merchant_certificate.pem")).unwrap()
}

fn other_key() -> PublicKey {
    PublicKey::from_pem(include_str!("../../testdata/keys/wechat_pay_public_key.pem")).unwrap()
}

/// Signs the messages that it knows: a key service gets only digests, and the test key signs only
/// messages.
#[derive(Debug)]
struct Service {
    messages: Mutex<Vec<Vec<u8>>>,
    versions_asked: Mutex<Vec<Option<String>>>,
    public_key: PublicKey,
    twist: Twist,
    calls: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Twist {
    None,
    Strip,
    Long,
    Flipped,
    Empty,
    Throttled(usize),
    ThrottledAfter(usize),
    Denied,
    Hanging,
}

impl Service {
    fn new(twist: Twist) -> Arc<Self> {
        Arc::new(Self {
            messages: Mutex::new(vec![b"is this the key?".to_vec()]),
            versions_asked: Mutex::default(),
            public_key: private_key().public_key().clone(),
            twist,
            calls: AtomicUsize::new(0),
        })
    }

    fn knows(&self, message: &[u8]) {
        self.messages.lock().unwrap().push(message.to_vec());
    }
}

fn digest(message: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, message).as_ref().to_vec()
}

#[async_trait]
impl KmsBackend for Service {
    async fn public_key(&self) -> Result<KmsKey, KmsError> {
        if self.twist == Twist::Hanging {
            tokio::time::sleep(Duration::from_millis(2500)).await;
        }
        Ok(KmsKey::new(self.public_key.clone()).with_version("7"))
    }

    async fn sign_sha256(&self, key: &KmsKey, asked: &[u8; 32]) -> Result<Vec<u8>, KmsError> {
        self.versions_asked.lock().unwrap().push(key.version().map(ToOwned::to_owned));
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.twist == Twist::Hanging {
            std::future::pending::<()>().await;
        }
        let messages = self.messages.lock().unwrap();
        let message = messages.iter().find(|message| digest(message) == asked).expect("a digest");
        let mut signature = private_key().sign(message).unwrap();
        match self.twist {
            Twist::Strip => {
                let zeros = signature.iter().take_while(|byte| **byte == 0).count();
                signature.drain(..zeros);
            }
            Twist::Long => signature.insert(0, 0),
            Twist::Flipped => signature[100] ^= 1,
            Twist::Empty => signature.clear(),
            Twist::Throttled(times) if call < times => {
                return Err(KmsError::new(SignErrorKind::Throttled, "slow down"));
            }
            Twist::ThrottledAfter(times) if call >= times => {
                return Err(KmsError::new(SignErrorKind::Throttled, "slow down"));
            }
            Twist::None | Twist::Throttled(_) | Twist::ThrottledAfter(_) | Twist::Hanging => {}
            Twist::Denied => return Err(KmsError::new(SignErrorKind::PermissionDenied, "no")),
        }
        Ok(signature)
    }
}

async fn connect(service: &Arc<Service>) -> Result<KmsSigner<Arc<Service>>, KmsError> {
    KmsSigner::builder(Arc::clone(service)).certificate(certificate()).connect().await
}

#[tokio::test]
async fn it_signs_with_the_serial_and_the_version_that_it_was_connected_to() {
    let service = Service::new(Twist::None);
    let signer = connect(&service).await.unwrap();
    service.knows(b"message");
    let signature = signer.sign(b"message").await.unwrap();
    assert_eq!(signature.serial_no().as_str(), SERIAL_NO);
    assert_eq!(signature.as_bytes(), private_key().sign(b"message").unwrap());
    assert_eq!(signer.key_version(), Some("7"));
    assert_eq!(signer.public_key(), private_key().public_key());
    assert_eq!(*service.versions_asked.lock().unwrap(), [Some("7".into()), Some("7".into())]);
    let shown = format!("{signer:?}");
    assert!(shown.contains(SERIAL_NO) && shown.contains("key_version: Some(\"7\")"), "{shown}");
}

/// One signature in 256 begins with a zero.
#[tokio::test]
async fn a_short_signature_is_padded() {
    let key = private_key();
    let message = (0..u32::MAX)
        .map(u32::to_be_bytes)
        .find(|message| key.sign(message).unwrap().first() == Some(&0))
        .unwrap();
    let service = Service::new(Twist::Strip);
    let signer = connect(&service).await.unwrap();
    service.knows(&message);
    let signature = signer.sign(&message).await.unwrap();
    assert_eq!(signature.as_bytes().len(), 256);
    assert_eq!(signature.as_bytes(), key.sign(&message).unwrap());
}

#[tokio::test]
async fn what_does_not_verify_does_not_get_out() {
    for twist in [Twist::Long, Twist::Flipped, Twist::Empty] {
        let service = Service::new(twist);
        let error = connect(&service).await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::InvalidSignature, "{twist:?}");
        // A retry would give the same result.
        assert_eq!(service.calls.load(Ordering::SeqCst), 1, "{twist:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_is_waited_out_and_then_said() {
    let service = Service::new(Twist::Throttled(7));
    connect(&service).await.unwrap();
    assert_eq!(service.calls.load(Ordering::SeqCst), 8);

    let service = Service::new(Twist::Throttled(usize::MAX));
    let error = connect(&service).await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Throttled);
    assert!(service.calls.load(Ordering::SeqCst) > 8);

    let service = Service::new(Twist::Throttled(1));
    let builder = KmsSigner::builder(Arc::clone(&service)).certificate(certificate());
    let error = builder.attempts(1).connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Throttled);
    assert_eq!(service.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_with_little_time_is_told_what_is_wrong_within_it() {
    let service = Service::new(Twist::ThrottledAfter(1));
    let signer = connect(&service).await.unwrap();
    let (start, left) = (tokio::time::Instant::now(), Duration::from_millis(1700));
    service.knows(b"message");
    let error = signer.sign_within(b"message", left).await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Throttled, "not a timeout");
    assert!(start.elapsed() < left, "{:?}", start.elapsed());
    // Without a time limit of the caller, it waits for as long as the signer allows.
    let start = tokio::time::Instant::now();
    signer.sign(b"message").await.unwrap_err();
    assert!(start.elapsed() > left, "{:?}", start.elapsed());
}

/// The public key is slow, and the test signature never arrives.
#[tokio::test(start_paused = true)]
async fn connecting_has_one_end_for_all_that_it_does() {
    let service = Service::new(Twist::Hanging);
    let begin = tokio::time::Instant::now();
    let builder = KmsSigner::builder(Arc::clone(&service)).certificate(certificate());
    let builder = builder.attempts(100).connect_timeout(Duration::from_secs(5));
    let error = builder.connect().await.unwrap_err();
    let elapsed = begin.elapsed();
    assert!(elapsed < Duration::from_millis(5100), "{elapsed:?}");
    assert_eq!(error.kind(), SignErrorKind::Timeout);
    assert_eq!(error.to_string(), "connecting took longer than 5000 ms");
    assert!(error.hint().contains("connect_timeout"), "{}", error.hint());
    assert_eq!(service.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_may_not_sign_is_told_when_connecting() {
    let service = Service::new(Twist::Denied);
    let error = connect(&service).await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::PermissionDenied);
    assert_eq!(service.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn certificate_and_key_belong_together() {
    let service = Service { public_key: other_key(), ..take(Service::new(Twist::None)) };
    let builder = KmsSigner::builder(service).certificate(certificate());
    let error = builder.connect().await.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Configuration);
    assert!(error.hint().contains("rotated"), "{}", error.hint());
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains(SERIAL_NO), "{source}");
}

fn take(service: Arc<Service>) -> Service {
    Arc::into_inner(service).unwrap()
}

#[tokio::test]
async fn settings_are_looked_at_before_anything_is_asked() {
    let service = Service::new(Twist::None);
    let builder = || KmsSigner::builder(Arc::clone(&service)).certificate(certificate());
    for (builder, text) in [
        (KmsSigner::builder(Arc::clone(&service)), "there is no merchant certificate"),
        (builder().concurrency(0), "concurrency must be at least 1"),
        (builder().attempts(0), "attempts must be at least 1"),
        (
            builder().attempt_timeout(Duration::ZERO),
            "attempt_timeout must be greater than zero, and at most a day",
        ),
        (
            builder().sign_timeout(Duration::ZERO),
            "sign_timeout must be greater than zero, and at most a day",
        ),
        (
            builder().connect_timeout(Duration::MAX),
            "connect_timeout must be greater than zero, and at most a day",
        ),
        (
            builder().connect_timeout(Duration::ZERO),
            "connect_timeout must be greater than zero, and at most a day",
        ),
    ] {
        let error = builder.connect().await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Configuration);
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(service.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_serial_may_be_given_or_missing() {
    let service = Service::new(Twist::None);
    let builder = || KmsSigner::builder(Arc::clone(&service));
    let given = builder().serial_no(SERIAL_NO.parse().unwrap()).connect().await.unwrap();
    assert_eq!(given.serial_no().as_str(), SERIAL_NO);
    let uncertified = builder().without_certificate().connect().await.unwrap();
    assert_eq!(uncertified.serial_no(), &SerialNo::uncertified());
}

#[tokio::test]
async fn back_ends_may_be_lent() {
    let service = Service::new(Twist::None);
    let signer = KmsSigner::builder(&*service).certificate(certificate()).connect().await.unwrap();
    service.knows(b"message");
    signer.sign(b"message").await.unwrap();
}

#[tokio::test]
async fn back_ends_may_be_chosen_at_run_time() {
    let service = Service::new(Twist::None);
    let backend: Box<dyn KmsBackend> = Box::new(Arc::clone(&service));
    let signer = KmsSigner::builder(backend).certificate(certificate()).connect().await.unwrap();
    let signer: Arc<dyn Signer> = Arc::new(signer.clone());
    service.knows(b"message");
    signer.sign(b"message").await.unwrap();
}

#[test]
fn a_subscriber_that_panics_costs_no_signature() {
    let service = Service::new(Twist::Throttled(3));
    service.knows(b"a");
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let signing = async {
        let signer = connect(&service).await.unwrap();
        signer.sign(b"a").await.unwrap();
    };
    let ((), events) = with_events(|_| panic_twice(), || runtime.block_on(signing));
    assert_eq!(events, 3 + 1, "three retries, and the connection");
}
