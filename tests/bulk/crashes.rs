//! A process that is killed at any point, and resumed.
//!
//! `WXPAY_BULK_PLANS` and `WXPAY_BULK_CRASHES` set the size: 2000 plans and 50 crashes take a minute or two.
//! `WXPAY_BULK_SEED` repeats the choices of a run (not its timing).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wxpay_marketing::{BulkReport, JournalError};
use wxpay_testing::{Gateway, WechatPay};
use wxpay_tests::bulk_jobs::{Folder, JobProcess, outcomes, plans, run_as_told, seen};
use wxpay_tests::this_test;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
}

/// Runs in the processes that the test below starts; there is nothing to do in this one.
#[tokio::test]
async fn the_job() {
    let is_told = std::env::var_os("WXPAY_TEST_BULK_URL").is_some();
    assert_eq!(run_as_told().await, is_told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_plan_is_ended_once_however_often_the_process_is_killed() {
    let number = usize::try_from(setting("WXPAY_BULK_PLANS", 160)).unwrap();
    let crashes = setting("WXPAY_BULK_CRASHES", 10);
    let seed = setting("WXPAY_BULK_SEED", fastrand::u64(..));
    println!("crashes: WXPAY_BULK_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);

    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let wechat_pay = WechatPay::builder().on_request(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let wechat_pay = plans(number).fold(wechat_pay, |builder, plan| builder.plan(plan)).build();
    let gateway = Gateway::builder().wechat_pay(wechat_pay).start().await.unwrap();
    let folder = Folder::new();
    let journal = folder.journal("plans");
    let test = this_test!()
        .replace("each_plan_is_ended_once_however_often_the_process_is_killed", "the_job");
    let start = || JobProcess::start(&test, &gateway.base_url(), &journal, number, None);

    let (mut killed, mut in_doubt, mut torn) = (0, 0, 0);
    // Each plan takes three requests: it is read, called, and read again.
    let a_share = 3 * number / usize::try_from(crashes).unwrap() + 1;
    while killed < crashes {
        let mut process = start();
        // The first ones are killed while they write the list.
        let more = if killed < 2 { 0 } else { random.usize(1..2 * a_share) };
        let until = requests.load(Ordering::Relaxed) + more;
        while requests.load(Ordering::Relaxed) < until || (more == 0 && !journal.exists()) {
            if process.has_ended() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let has_ended = process.kill();
        killed += 1;
        match BulkReport::open(&journal) {
            Ok(report) => in_doubt += report.progress().in_doubt,
            Err(JournalError::NotListed) => {}
            Err(error) => panic!("seed {seed}: {error:?}"),
        }
        torn += usize::from(!std::fs::read(&journal).unwrap().ends_with(b"\n"));
        if has_ended {
            break;
        }
    }
    let mut process = start();
    while !process.has_ended() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("crashes: {killed} killed, {in_doubt} plans in doubt, {torn} torn lines");

    let seen = seen(&gateway.journal());
    assert_eq!(seen.len(), number, "none is forgotten");
    for (plan_id, seen) in &seen {
        assert!(seen.is_right(), "seed {seed}: {plan_id} {}", seen.order);
    }
    let outcomes = outcomes(&journal);
    assert_eq!(outcomes.len(), number);
    for (plan_id, outcome) in outcomes {
        assert_eq!(outcome, "terminated", "seed {seed}: {plan_id}: no one else was there");
    }
    assert!(in_doubt > 0, "seed {seed}: nothing was in flight in {killed} crashes");
}
