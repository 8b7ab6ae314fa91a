//! The lateness of a 1 ms timer while many callers sign on the same runtime, and the cost for a single
//! caller: the trade-off by which `FileKeySigner` chooses where to compute. Between two signatures the
//! callers do other work, as the rest of a call does.
//!
//! ```sh
//! cargo bench -p wxpay-auth-core --bench runtime_under_load --features aws-lc-rs
//! ```

#![allow(clippy::expect_used, clippy::print_stdout, missing_docs, reason = "a benchmark")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use wxpay_auth_core::{Backend, FileKeySigner, PrivateKey, Signer};

const KEY: &str = include_str!("../testdata/keys/merchant_private_key.pem");
const SERIAL_NO: &str = "5F1C72E2A8931B72A2E13AF8DEE92471EB397115";
const FOR: Duration = Duration::from_secs(3);

fn signer(backend: Backend) -> FileKeySigner {
    let key = PrivateKey::from_pem_with(backend, KEY).expect("a key");
    FileKeySigner::new(key, SERIAL_NO.parse().expect("a serial"))
}

/// Signs inline in any case, for comparison with `FileKeySigner`.
async fn sign_inline(signer: &FileKeySigner) {
    signer.key().sign(b"message").expect("a signature");
    tokio::task::yield_now().await;
}

async fn sign(signer: &FileKeySigner) {
    signer.sign(b"message").await.expect("a signature");
}

/// Uses the processor as long as the rest of a call does: TLS, reading, writing.
fn rest_of_a_call() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(100) {
        std::hint::spin_loop();
    }
}

/// Returns the signatures per second, and the lateness of a 1 ms timer: p50, p99, the maximum.
fn load(runtime: &Runtime, signer: &FileKeySigner, callers: usize, inline: bool) -> String {
    let done = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (signer, done) = (signer.clone(), Arc::clone(&done));
            runtime.spawn(async move {
                let mut count = 0_u32;
                while !done.load(Ordering::Relaxed) {
                    if inline {
                        sign_inline(&signer).await;
                    } else {
                        sign(&signer).await;
                    }
                    count += 1;
                    rest_of_a_call();
                    tokio::task::yield_now().await;
                }
                count
            })
        })
        .collect();
    let timer = runtime.spawn(async {
        let (start, mut late) = (Instant::now(), Vec::new());
        while start.elapsed() < FOR {
            let before = Instant::now();
            tokio::time::sleep(Duration::from_millis(1)).await;
            late.push(before.elapsed().saturating_sub(Duration::from_millis(1)));
        }
        late
    });
    runtime.block_on(async move {
        let mut late = timer.await.expect("an end");
        done.store(true, Ordering::Relaxed);
        let mut count = 0;
        for task in tasks {
            count += task.await.expect("an end");
        }
        late.sort();
        let at = |percent: usize| {
            let index = late.len() * percent / 100;
            late.get(index.min(late.len() - 1)).copied().unwrap_or_default()
        };
        let per_second = f64::from(count) / FOR.as_secs_f64();
        format!("{per_second:7.0}/s  late by {:8.1?} {:8.1?} {:8.1?}", at(50), at(99), at(100))
    })
}

/// Returns the duration of one signature, with pauses in between, as for round trips.
fn lone(runtime: &Runtime, signer: &FileKeySigner, inline: bool) -> Duration {
    runtime.block_on(async {
        let mut taken = Duration::ZERO;
        for _ in 0..1000 {
            let start = Instant::now();
            if inline {
                sign_inline(signer).await;
            } else {
                sign(signer).await;
            }
            taken += start.elapsed();
            // The round trip: the thread waits, and does nothing else.
            std::thread::sleep(Duration::from_micros(60));
        }
        taken / 1000
    })
}

fn main() {
    let one_thread = || Builder::new_current_thread().enable_all().build().expect("a runtime");
    let two_threads =
        || Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let backends = [
        Backend::Ring,
        #[cfg(feature = "aws-lc-rs")]
        Backend::AwsLcRs,
    ];
    println!("timer of 1 ms: late by p50, p99, worst");
    for backend in backends {
        let signer = signer(backend);
        for (name, runtime) in [("one thread", one_thread()), ("two threads", two_threads())] {
            for inline in [true, false] {
                let how = if inline { "on the spot" } else { "FileKeySigner" };
                let lone = lone(&runtime, &signer, inline);
                println!("{backend:<10} {name:<12} {how:<14}   1 caller   {lone:?} a signature");
                for callers in [8, 64, 256] {
                    let load = load(&runtime, &signer, callers, inline);
                    println!("{backend:<10} {name:<12} {how:<14} {callers:3} callers {load}");
                }
            }
        }
    }
}
