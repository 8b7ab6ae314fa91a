//! Handlers that fail, hang or panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wxpay_notification::{MemoryReplayStore, Outcome};

use super::receiver::{
    Ledger, RESOURCE, Receiver, endpoint, handler, status, statuses, wechat_pay,
};

#[tokio::test]
async fn a_handler_that_fails_gets_the_notification_again() {
    let (wechat_pay, ledger) = (wechat_pay(), Ledger::default());
    let tries = Arc::new(AtomicUsize::new(0));
    let fails_twice = handler({
        let ledger = ledger.clone();
        move |notification| {
            let (ledger, number) = (ledger.clone(), tries.fetch_add(1, Ordering::SeqCst));
            async move {
                if number < 2 {
                    return Err("password=pa55word: the database is away");
                }
                ledger.write(notification.id());
                Ok(())
            }
        }
    });
    let endpoint = endpoint(&wechat_pay, MemoryReplayStore::new());
    let receiver = Receiver::start(endpoint, fails_twice).await;
    let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE);
    let attempt = notification.send_once(&receiver.url).await;
    assert_eq!(attempt.status, Some(503));
    assert!(!String::from_utf8_lossy(&attempt.body).contains("pa55"), "{attempt:?}");
    assert_eq!(statuses(&notification, &receiver.url).await, [Some(503), Some(204)]);
    assert_eq!(ledger.times(notification.own_id()), 1);
}

#[tokio::test]
async fn a_handler_that_panics_gets_the_notification_again() {
    let (wechat_pay, ledger) = (wechat_pay(), Ledger::default());
    let tries = Arc::new(AtomicUsize::new(0));
    let panics_first = handler({
        let ledger = ledger.clone();
        move |notification| {
            let number = tries.fetch_add(1, Ordering::SeqCst);
            // Before it returns a future, and while that runs.
            assert!(number != 0, "pa55word");
            let ledger = ledger.clone();
            async move {
                assert!(number != 1, "pa55word");
                ledger.write(notification.id());
                Ok::<(), std::io::Error>(())
            }
        }
    });
    let endpoint = endpoint(&wechat_pay, MemoryReplayStore::new());
    let receiver = Receiver::start(endpoint, panics_first).await;
    let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE);
    let attempt = notification.send_once(&receiver.url).await;
    assert_eq!(attempt.status, Some(500));
    assert!(!String::from_utf8_lossy(&attempt.body).contains("pa55"), "{attempt:?}");
    assert_eq!(statuses(&notification, &receiver.url).await, [Some(500), Some(204)]);
    assert_eq!(ledger.times(notification.own_id()), 1);
}

#[tokio::test]
async fn a_handler_that_is_late_is_dropped_and_gets_the_notification_again() {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (wechat_pay, ledger) = (wechat_pay(), Ledger::default());
    let (tries, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let hangs_first = handler({
        let (ledger, dropped) = (ledger.clone(), Arc::clone(&dropped));
        move |notification| {
            let number = tries.fetch_add(1, Ordering::SeqCst);
            let (ledger, guard) = (ledger.clone(), Dropped(Arc::clone(&dropped)));
            async move {
                let _guard = guard;
                if number == 0 {
                    std::future::pending::<()>().await;
                }
                ledger.write(notification.id());
                Ok::<(), std::io::Error>(())
            }
        }
    });
    let endpoint =
        endpoint(&wechat_pay, MemoryReplayStore::new()).time_limit(Duration::from_millis(300));
    let receiver = Receiver::start(endpoint, hangs_first).await;
    let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE);
    assert_eq!(status(&notification, &receiver.url).await, Some(503));
    assert_eq!((dropped.load(Ordering::SeqCst), ledger.all()), (1, 0));
    assert_eq!(status(&notification, &receiver.url).await, Some(204));
    assert_eq!(ledger.times(notification.own_id()), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_loses_nothing() {
    let (wechat_pay, ledger) = (wechat_pay(), Ledger::default());
    let endpoint = endpoint(&wechat_pay, MemoryReplayStore::new());
    let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE);
    let forever = |_| std::future::pending::<Result<(), std::io::Error>>();
    let handling = endpoint.handle(notification.request(), forever);
    let gives_up = tokio::time::timeout(Duration::from_millis(50), handling).await;
    assert!(gives_up.is_err());
    // The id is given back in the background.
    let handed_over = async {
        loop {
            let attempt = endpoint.handle(notification.request(), |notification| {
                ledger.write(notification.id());
                async { Ok::<(), std::io::Error>(()) }
            });
            match attempt.await.outcome() {
                Outcome::HandedOver { is_recorded: true, .. } => return,
                Outcome::InProgress => tokio::task::yield_now().await,
                other => panic!("{other:?}"),
            }
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), handed_over).await;
    assert_eq!((waited.is_ok(), ledger.all()), (true, 1));
}
