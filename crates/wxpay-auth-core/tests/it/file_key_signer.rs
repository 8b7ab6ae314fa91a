//! The file key signer: as a generic and behind pointers, concurrently, cancelled, without a runtime.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::Builder;
use wxpay_auth_core::{
    Algorithm, Backend, Certificate, FileKeySigner, PrivateKey, SignError, Signature, Signer,
};

const KEY: &str = include_str!("../../testdata/keys/merchant_private_key.pem");
const CERTIFICATE: &str = include_str!("../../testdata/keys/merchant_certificate.pem");

/// Every compiled back end.
const BACKENDS: &[Backend] = &[
    Backend::Ring,
    #[cfg(feature = "aws-lc-rs")]
    Backend::AwsLcRs,
];

fn signer_on(backend: Backend) -> FileKeySigner {
    let (key, certificate) =
        (PrivateKey::from_pem_with(backend, KEY), Certificate::from_pem(CERTIFICATE));
    FileKeySigner::with_certificate(key.unwrap(), &certificate.unwrap()).unwrap()
}

fn signer() -> FileKeySigner {
    signer_on(Backend::Ring)
}

fn expected(message: &[u8]) -> Vec<u8> {
    PrivateKey::from_pem(KEY).unwrap().sign(message).unwrap()
}

/// A compile-time check.
fn assert_send<T: Send>(value: T) -> T {
    value
}

/// Polls a future once, with a no-op waker.
fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
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

#[tokio::test]
async fn from_a_file_with_its_serial() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/keys/merchant_private_key.pem");
    let serial_no: wxpay_auth_core::SerialNo =
        "5f1c72e2a8931b72a2e13af8dee92471eb397115".parse().unwrap();
    let signer = FileKeySigner::from_pem_file(path, serial_no.clone()).unwrap();
    assert_eq!(signer.serial_no(), &serial_no);
    assert_eq!(signer.key().backend(), Backend::Ring);
    assert_eq!(sign_generically(signer).await, expected(b"message"));
}

async fn sign_at_once(backend: Backend, count: u32) {
    let signer = signer_on(backend);
    let tasks: Vec<_> = (0..count)
        .map(|n| {
            let signer = signer.clone();
            tokio::spawn(async move { signer.sign(&n.to_be_bytes()).await.unwrap() })
        })
        .collect();
    for (n, task) in (0..count).zip(tasks) {
        let signature = task.await.unwrap();
        let message = n.to_be_bytes();
        assert_eq!(signature.as_bytes(), expected(&message), "message {n}, {backend}");
        let verifies = signer.key().public_key().verifies(&message, signature.as_bytes());
        assert!(verifies, "message {n}, {backend}");
    }
}

#[tokio::test]
async fn many_at_once_on_one_thread() {
    for backend in BACKENDS {
        sign_at_once(*backend, 100).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_on_several_threads() {
    for backend in BACKENDS {
        sign_at_once(*backend, 200).await;
    }
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

/// A caller gives up while its signature is computed on another thread.
#[tokio::test]
async fn a_caller_that_gives_up_half_way_does_no_harm() {
    let signer = signer();
    // The first ones may be computed inline, and cannot be abandoned.
    let given_up = (0..1_000).any(|_| poll_once(pin!(signer.sign(b"given up"))).is_pending());
    assert!(given_up, "one of many in a row is moved away");
    for n in 0..20_u32 {
        let signature = signer.sign(&n.to_be_bytes()).await.unwrap();
        assert_eq!(signature.as_bytes(), expected(&n.to_be_bytes()));
    }
}

#[test]
fn without_a_runtime() {
    let signer = signer();
    let sign = |message: &[u8]| -> Result<Signature, SignError> {
        match poll_once(pin!(signer.sign(message))) {
            Poll::Ready(signature) => signature,
            Poll::Pending => panic!("there is nothing to wait for"),
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            scope.spawn(move || {
                for n in 0..10 {
                    let message = [thread, n];
                    assert_eq!(sign(&message).unwrap().as_bytes(), expected(&message));
                }
            });
        }
    });
}

/// A runtime whose blocking threads are all busy, and whose signatures are abandoned, delays neither another
/// runtime nor itself.
#[test]
fn one_runtime_that_is_stuck_stops_no_other() {
    let limit = Duration::from_secs(10);
    let stuck = Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .enable_time()
        .build()
        .unwrap();
    let (let_go, waits) = std::sync::mpsc::channel::<()>();
    let held = stuck.spawn_blocking(move || waits.recv().is_err());
    let signer = Arc::new(signer());
    let sign = |signer: &Arc<FileKeySigner>| {
        let signer = Arc::clone(signer);
        async move {
            tokio::time::timeout(limit, signer.sign(b"message")).await.is_ok_and(|s| s.is_ok())
        }
    };
    stuck.block_on(async {
        for _ in 0..20 {
            let signing: Vec<_> = (0..16).map(|_| tokio::spawn(sign(&signer))).collect();
            tokio::task::yield_now().await;
            signing.iter().for_each(tokio::task::JoinHandle::abort);
        }
    });
    let idle = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    for runtime in [&idle, &stuck] {
        let signing: Vec<_> = (0..12).map(|_| runtime.spawn(sign(&signer))).collect();
        for signed in signing {
            assert!(runtime.block_on(signed).unwrap(), "not within {limit:?}");
        }
    }
    drop(let_go);
    assert!(idle.block_on(held).unwrap());
}
