//! A child that was forked while other threads sign can sign as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fork::Fork;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use wxpay_auth::{FileKeySigner, Signer};
use wxpay_tests::own_process;
use wxpay_tests::token::{certificate, reference};

const LIMIT: Duration = Duration::from_secs(10);

/// Runs many signatures at the same time, and returns whether all succeed.
fn all_sign(signer: &FileKeySigner) -> bool {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let mut signing = JoinSet::new();
        for caller in 0..12_u8 {
            let signer = signer.clone();
            signing.spawn(async move {
                let signed = tokio::time::timeout(LIMIT, signer.sign(&[caller])).await;
                let signature = signed.ok().and_then(Result::ok);
                signature.is_some_and(|signature| {
                    signer.key().public_key().verifies(&[caller], signature.as_bytes())
                })
            });
        }
        signing.join_all().await.into_iter().all(|has_signed| has_signed)
    })
}

#[test]
fn a_child_that_was_forked_while_others_signed_signs() {
    // Runs in a process of its own, with only the threads that the test starts.
    own_process!();
    let signer = FileKeySigner::with_certificate(reference(), &certificate()).unwrap();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let signing: Vec<_> = (0..16)
        .map(|_| {
            let (signer, done) = (signer.clone(), Arc::clone(&done));
            runtime.spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    signer.sign(b"message").await.unwrap();
                }
            })
        })
        .collect();
    for forked in 0..10 {
        std::thread::sleep(Duration::from_millis(5));
        match fork::fork().unwrap() {
            Fork::Child => std::process::exit(i32::from(!all_sign(&signer))),
            Fork::Parent(child) => {
                let status = fork::waitpid(child).unwrap();
                assert_eq!(status, 0, "number {forked} does not sign");
            }
        }
    }
    done.store(true, Ordering::Relaxed);
    for ended in signing {
        runtime.block_on(ended).unwrap();
    }
    assert!(all_sign(&signer));
}
