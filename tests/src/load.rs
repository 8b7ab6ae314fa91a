//! Many tasks that sign while faults occur.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use wxpay_auth::pkcs11::Pkcs11Signer;
use wxpay_auth::{SignErrorKind, Signer};

/// 64 tasks that sign, verify and count.
#[derive(Debug)]
pub struct Load {
    counts: Arc<Counts>,
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Counts {
    stop: AtomicBool,
    signed: AtomicUsize,
    failed: AtomicUsize,
    kinds: Mutex<BTreeMap<String, usize>>,
}

/// Upper limit of any wait.
pub const LIMIT: Duration = Duration::from_secs(60);

impl Load {
    /// Starts the tasks.
    pub fn start(signer: &Pkcs11Signer) -> Self {
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        for task in 0..64 {
            let (signer, counts) = (signer.clone(), Arc::clone(&counts));
            tasks.spawn(async move {
                for round in 0.. {
                    if counts.stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let message = format!("task {task}, round {round}");
                    let signing = signer.sign(message.as_bytes());
                    let signed = tokio::time::timeout(LIMIT, signing).await.expect("it hangs");
                    match signed {
                        Ok(signature) => {
                            let key = signer.public_key();
                            assert!(key.verifies(message.as_bytes(), signature.as_bytes()));
                            counts.signed.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => {
                            counts.failed.fetch_add(1, Ordering::Relaxed);
                            let kind = error.kind().to_string();
                            *counts.kinds.lock().unwrap().entry(kind).or_default() += 1;
                            tokio::time::sleep(Duration::from_millis(2)).await;
                        }
                    }
                }
            });
        }
        Self { counts, tasks }
    }

    fn signed(&self) -> usize {
        self.counts.signed.load(Ordering::Relaxed)
    }

    fn failed(&self) -> usize {
        self.counts.failed.load(Ordering::Relaxed)
    }

    /// Waits for this many more signatures.
    pub async fn sign_on(&self, more: usize) {
        let (begin, goal) = (Instant::now(), self.signed() + more);
        while self.signed() < goal {
            let kinds = &self.counts.kinds;
            assert!(begin.elapsed() < LIMIT, "the service does not recover: {kinds:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for this many more failures.
    pub async fn fail_on(&self, more: usize) {
        let (begin, goal) = (Instant::now(), self.failed() + more);
        while self.failed() < goal {
            assert!(begin.elapsed() < LIMIT, "nothing fails");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns the number of failures so far, by kind.
    pub fn kinds(&self) -> BTreeMap<String, usize> {
        self.counts.kinds.lock().unwrap().clone()
    }

    /// Stops the tasks, and returns the number of failures by kind.
    pub async fn stop(mut self) -> BTreeMap<String, usize> {
        self.counts.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no task panics");
        }
        let kinds = std::mem::take(&mut *self.counts.kinds.lock().unwrap());
        println!("{} signed, failed: {kinds:?}", self.signed());
        assert_eq!(kinds.values().sum::<usize>(), self.failed());
        kinds
    }
}

/// Checks that there are no failures of other kinds.
pub fn only(kinds: &BTreeMap<String, usize>, expected: &[SignErrorKind]) {
    let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
    assert!(kinds.keys().all(|kind| expected.contains(kind)), "{kinds:?}");
}
