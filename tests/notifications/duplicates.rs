//! A notification that is sent again, and one that somebody recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use wxpay_auth::Timestamp;
use wxpay_notification::MemoryReplayStore;
use wxpay_testing::{WechatPay, send_notification};

use super::receiver::{
    Ledger, NOW, RESOURCE, Receiver, endpoint, endpoint_at, handler, status, wechat_pay,
};

#[tokio::test]
async fn a_sending_that_is_repeated_is_acknowledged_and_not_handed_over() {
    let (wechat_pay, ledger) = (wechat_pay(), Ledger::default());
    let store = MemoryReplayStore::new();
    let receiver = Receiver::start(endpoint(&wechat_pay, store), ledger.handler()).await;
    let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE);
    for _ in 0..3 {
        assert_eq!(status(&notification, &receiver.url).await, Some(204));
    }
    // Signed with the other key, as while a merchant moves to the public key.
    let other_key = notification.clone().signed_with_certificate();
    assert_eq!(status(&other_key, &receiver.url).await, Some(204));
    assert_eq!(ledger.times(notification.own_id()), 1);
    // Another one with the same content is another one.
    let other = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE);
    assert_eq!((status(&other, &receiver.url).await, ledger.all()), (Some(204), 2));
}

/// A sending of WeChat Pay is signed anew. What is sent again by somebody who recorded it is not.
#[tokio::test]
async fn a_replay_falls_out_of_the_window_and_a_repeated_sending_does_not() {
    let now = Arc::new(AtomicU64::new(NOW));
    let clock = |now: &Arc<AtomicU64>| {
        let now = Arc::clone(now);
        move || Timestamp::from_unix_secs(now.load(Ordering::SeqCst))
    };
    let wechat_pay = WechatPay::builder().clock(clock(&now)).build();
    let (ledger, store) = (Ledger::default(), MemoryReplayStore::new());
    let endpoint = endpoint_at(&wechat_pay, store, clock(&now));
    let receiver = Receiver::start(endpoint, ledger.handler()).await;
    let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE);
    let recorded = notification.request();
    for (after, replayed, sent_again) in
        [(0, 204, 204), (300, 204, 204), (301, 401, 204), (3600, 401, 204)]
    {
        now.store(NOW + after, Ordering::SeqCst);
        let replay = send_notification(&receiver.url, recorded.clone()).await.unwrap();
        assert_eq!(replay.status(), replayed, "{after}");
        assert_eq!(status(&notification, &receiver.url).await, Some(sent_again), "{after}");
        assert_eq!(ledger.all(), 1, "{after}");
    }
}

#[tokio::test]
async fn a_sending_that_arrives_meanwhile_is_asked_for_again() {
    let (wechat_pay, ledger) = (wechat_pay(), Ledger::default());
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = handler({
        let (ledger, begun, go_on) = (ledger.clone(), Arc::clone(&begun), Arc::clone(&go_on));
        move |notification| {
            let (ledger, begun, go_on) = (ledger.clone(), Arc::clone(&begun), Arc::clone(&go_on));
            async move {
                begun.notify_one();
                go_on.notified().await;
                ledger.write(notification.id());
                Ok::<(), std::io::Error>(())
            }
        }
    });
    let receiver = Receiver::start(endpoint(&wechat_pay, MemoryReplayStore::new()), slow).await;
    let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE);
    let first = tokio::spawn({
        let (notification, url) = (notification.clone(), receiver.url.clone());
        async move { status(&notification, &url).await }
    });
    begun.notified().await;
    assert_eq!(status(&notification, &receiver.url).await, Some(503));
    go_on.notify_one();
    assert_eq!(first.await.unwrap(), Some(204));
    assert_eq!(status(&notification, &receiver.url).await, Some(204));
    assert_eq!(ledger.times(notification.own_id()), 1);
}

#[tokio::test]
async fn a_full_store_loses_nothing() {
    let (wechat_pay, ledger) = (wechat_pay(), Ledger::default());
    let endpoint = endpoint(&wechat_pay, MemoryReplayStore::new().capacity(1));
    let endpoint = endpoint.keep(Duration::ZERO).hold(Duration::from_secs(10));
    let receiver = Receiver::start(endpoint, ledger.handler()).await;
    let notification = |id| wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE).id(id);
    assert_eq!(status(&notification("1"), &receiver.url).await, Some(204));
    assert_eq!(status(&notification("2"), &receiver.url).await, Some(503));
    assert_eq!(status(&notification("1"), &receiver.url).await, Some(204));
    assert_eq!((ledger.times("1"), ledger.times("2")), (1, 0));
}
