//! A thousand merchants in one process, with one scheduler.

use wxpay_auth::{ApiV3Key, KeyRing};
use wxpay_security::{CertificateScheduler, DownloadVerifier, PlatformCertificates};
use wxpay_testing::Gateway;
use wxpay_tests::footprint::resident_bytes;
use wxpay_tests::own_process;
use wxpay_tests::until::until;

use crate::merchant::downloads;

const MERCHANTS: usize = 1000;

/// Counts the threads of this process.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("Linux").count()
}

/// Runs in a process of its own: it counts threads, tasks and memory.
#[tokio::test]
#[cfg_attr(not(target_os = "linux"), ignore = "needs Linux")]
async fn they_have_one_task_and_no_thread() {
    own_process!();
    let gateway = Gateway::start().await;
    gateway.sign_with_platform_certificate();
    let verifier = |ring| DownloadVerifier::new(ring, ApiV3Key::new(gateway.api_v3_key()).unwrap());
    // One that has made its first download, so that what is started once has been started.
    let first = downloads(&gateway, verifier(KeyRing::new()));
    let warm = PlatformCertificates::new(first.clone(), verifier(KeyRing::new()));
    warm.refresh().await.unwrap();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (before, before_threads, before_tasks) = (resident_bytes(), threads(), tasks());

    let scheduler = CertificateScheduler::builder().max_downloads(8).start();
    // Each has a client of its own beside the first one, which has its own limits and shares the connections.
    let merchants: Vec<_> = (0..MERCHANTS)
        .map(|_| {
            let verifier = verifier(KeyRing::new());
            PlatformCertificates::new(first.with_verifier(verifier.clone()), verifier)
        })
        .collect();
    let made = resident_bytes();
    for merchant in &merchants {
        scheduler.add(merchant);
    }
    for merchant in &merchants {
        let is_there = || merchant.status().downloaded_at.is_some();
        until("it has its certificates", is_there).await;
    }
    assert!(merchants.iter().all(|merchant| merchant.ring().serials().len() == 1));
    assert_eq!(scheduler.merchants(), MERCHANTS);
    assert!(merchants.iter().all(|merchant| merchant.status().downloads == 1));

    let all = merchants.len() as u64;
    println!(
        "memory of a merchant: {} bytes, with its certificate, and what the gateway wrote down: {}",
        made.saturating_sub(before) / all,
        resident_bytes().saturating_sub(before) / all
    );
    // The signer may start as many as there are processors.
    let processors = std::thread::available_parallelism().unwrap().get();
    assert!(threads() <= before_threads + processors, "{before_threads}, now {}", threads());
    // Connections that are kept for a while have tasks, too.
    until("all merchants together have one task", || tasks() <= before_tasks + 1).await;
    drop(scheduler);
    until("and it ends with the scheduler", || tasks() <= before_tasks).await;
}
