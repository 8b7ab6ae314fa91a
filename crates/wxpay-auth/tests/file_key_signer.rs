//! The file signer: concurrently, cancelled, without a runtime; and its warning.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test may panic"
)]

use std::fs;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use wxpay_auth::{Algorithm, Certificate, FileKeySigner, PrivateKey, Signer};

const KEY: &str = include_str!("../testdata/keys/merchant_private_key.pem");
const CERTIFICATE: &str = include_str!("../testdata/keys/merchant_certificate.pem");

fn signer() -> FileKeySigner {
    let certificate = Certificate::from_pem(CERTIFICATE).unwrap();
    FileKeySigner::with_certificate(PrivateKey::from_pem(KEY).unwrap(), &certificate).unwrap()
}

fn expected(message: &[u8]) -> Vec<u8> {
    PrivateKey::from_pem(KEY).unwrap().sign(message).unwrap()
}

fn assert_send<T: Send>(value: T) -> T {
    value
}

async fn sign_generically<S: Signer>(signer: S) -> Vec<u8> {
    assert_eq!(signer.algorithm(), Algorithm::Sha256Rsa2048);
    let signature = assert_send(signer.sign(b"message")).await.unwrap();
    assert_eq!(signature.serial_no().as_str(), "5F1C72E2A8931B72A2E13AF8DEE92471EB397115");
    signature.as_bytes().to_vec()
}

#[tokio::test]
async fn as_a_generic_and_behind_pointers() {
    let signer = signer();
    let (shared, boxed): (Arc<dyn Signer>, Box<dyn Signer>) =
        (Arc::new(signer.clone()), Box::new(signer.clone()));
    let expected = expected(b"message");
    assert_eq!(sign_generically(&signer).await, expected);
    assert_eq!(sign_generically(shared).await, expected);
    assert_eq!(sign_generically(boxed).await, expected);
    assert_eq!(sign_generically(signer).await, expected);
}

async fn sign_at_once(count: u32) {
    let signer = signer();
    let tasks: Vec<_> = (0..count)
        .map(|n| {
            let signer = signer.clone();
            tokio::spawn(async move { signer.sign(&n.to_be_bytes()).await.unwrap() })
        })
        .collect();
    for (n, task) in (0..count).zip(tasks) {
        let signature = task.await.unwrap();
        assert_eq!(signature.as_bytes(), expected(&n.to_be_bytes()), "message {n}");
    }
}

#[tokio::test]
async fn many_at_once_on_one_thread() {
    sign_at_once(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_on_several_threads() {
    sign_at_once(200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_give_up_do_no_harm() {
    let signer = signer();
    for round in 0..10 {
        let tasks: Vec<_> = (0..40_u32)
            .map(|n| {
                let signer = signer.clone();
                tokio::spawn(async move { signer.sign(&n.to_be_bytes()).await })
            })
            .collect();
        for task in tasks.iter().skip(round % 2).step_by(2) {
            task.abort();
        }
        for (n, task) in (0..40_u32).zip(tasks) {
            if let Ok(signature) = task.await {
                assert_eq!(signature.unwrap().as_bytes(), expected(&n.to_be_bytes()));
            }
        }
    }
    assert_eq!(signer.sign(b"after").await.unwrap().as_bytes(), expected(b"after"));
}

#[test]
fn without_a_runtime() {
    let signer = signer();
    let mut signing = pin!(signer.sign(b"message"));
    let mut context = Context::from_waker(Waker::noop());
    match signing.as_mut().poll(&mut context) {
        Poll::Ready(signature) => assert_eq!(signature.unwrap().as_bytes(), expected(b"message")),
        Poll::Pending => panic!("there is nothing to wait for"),
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_can_read_draws_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let file = std::env::temp_dir().join(format!("wxpay-exposed-{}.pem", std::process::id()));
    fs::write(&file, KEY).unwrap();
    for (mode, warns) in
        [(0o600, false), (0o400, false), (0o640, true), (0o604, true), (0o644, true)]
    {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            PrivateKey::from_pem_file(&file).expect("it is read all the same");
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.contains("WARN"), warns, "{mode:o}: {text}");
        assert_eq!(text.contains("other users can read this private key"), warns, "{text}");
        assert_eq!(text.contains(&file.display().to_string()), warns, "{text}");
        let key_line = KEY.lines().nth(1).unwrap();
        assert!(!text.contains(key_line) && !text.contains("BEGIN"), "{text}");
    }
    fs::remove_file(&file).unwrap();
}
