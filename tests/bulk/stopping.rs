//! Runs that are stopped, or dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wxpay_marketing::{BulkEvent, BulkJournal, BulkTermination};
use wxpay_testing::{Gateway, WechatPay};
use wxpay_tests::bulk_jobs::{Folder, list, outcomes, owner, plans, seen, service};

const PLANS: usize = 60;

async fn gateway() -> Gateway {
    let builder = plans(PLANS).fold(WechatPay::builder(), |builder, plan| builder.plan(plan));
    Gateway::builder().wechat_pay(builder.build()).start().await.unwrap()
}

/// Ends what is left, and checks that each plan was ended once.
async fn finish(gateway: &Gateway, folder: &Folder) {
    let url = gateway.base_url();
    let path = folder.journal("plans");
    let mut journal = BulkJournal::open(&path, &owner(gateway, &url)).unwrap();
    let progress = BulkTermination::new(service(gateway, &url)).run(&mut journal).await.unwrap();
    assert_eq!((progress.terminated, progress.is_complete()), (PLANS, true));
    let seen = seen(&gateway.journal());
    assert_eq!(seen.len(), PLANS);
    assert!(seen.values().all(wxpay_tests::bulk_jobs::Seen::is_right), "{seen:?}");
    assert!(outcomes(&path).into_values().all(|outcome| outcome == "terminated"));
}

#[tokio::test]
async fn a_run_that_is_stopped_finishes_what_is_in_flight() {
    let (gateway, folder) = (gateway().await, Folder::new());
    let url = gateway.base_url();
    let mut journal = BulkJournal::open(folder.journal("plans"), &owner(&gateway, &url)).unwrap();
    journal.list(list(PLANS)).await.unwrap();
    let job = BulkTermination::new(service(&gateway, &url)).concurrency(4);
    let (stop, ended) = (job.stop_handle(), Arc::new(AtomicUsize::new(0)));
    let job = job.observer(move |event, _| {
        if matches!(event, BulkEvent::Ended { .. }) && ended.fetch_add(1, Ordering::Relaxed) == 9 {
            stop.stop();
        }
    });
    let progress = job.run(&mut journal).await.unwrap();
    assert!((10..=14).contains(&progress.terminated), "{progress:?}");
    assert_eq!((progress.in_doubt, progress.unconfirmed), (0, 0));
    assert_eq!(progress.open, PLANS - progress.terminated);
    let again = job.run(&mut journal).await.unwrap();
    assert_eq!(again, progress, "it stays stopped");
    drop(journal);
    finish(&gateway, &folder).await;
}

#[tokio::test]
async fn a_run_that_is_dropped_is_resumed() {
    let (gateway, folder) = (gateway().await, Folder::new());
    let url = gateway.base_url();
    for until in [1, 10, 25] {
        let path = folder.journal("plans");
        let mut journal = BulkJournal::open(path, &owner(&gateway, &url)).unwrap();
        if !journal.is_listed() {
            journal.list(list(PLANS)).await.unwrap();
        }
        let calls = Arc::new(tokio::sync::Notify::new());
        let (told, called) = (Arc::clone(&calls), AtomicUsize::new(0));
        let job = BulkTermination::new(service(&gateway, &url)).observer(move |event, _| {
            if matches!(event, BulkEvent::Calling { .. })
                && called.fetch_add(1, Ordering::Relaxed) + 1 == until
            {
                told.notify_one();
            }
        });
        tokio::select! {
            ended = job.run(&mut journal) => panic!("{ended:?}"),
            () = calls.notified() => {}
        }
    }
    finish(&gateway, &folder).await;
}
