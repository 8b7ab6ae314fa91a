//! Many notifications at once.

use tokio::task::JoinSet;
use wxpay_notification::MemoryReplayStore;

use super::receiver::{
    Ledger, RESOURCE, Receiver, assert_acknowledged, endpoint, statuses, wechat_pay,
};

#[tokio::test(flavor = "multi_thread")]
async fn of_256_at_once_each_is_handed_over_once() {
    let (wechat_pay, ledger) = (wechat_pay(), Ledger::default());
    let store = MemoryReplayStore::new();
    let receiver = Receiver::start(endpoint(&wechat_pay, store), ledger.handler()).await;
    let mut senders = JoinSet::new();
    for number in 0..256 {
        let notification =
            wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE).id(&format!("EV-{number}"));
        // And each is sent twice, as happens.
        for _ in 0..2 {
            let (notification, url) = (notification.clone(), receiver.url.clone());
            senders.spawn(async move { statuses(&notification, &url).await });
        }
    }
    for statuses in senders.join_all().await {
        assert_acknowledged(&statuses);
    }
    for number in 0..256 {
        assert_eq!(ledger.times(&format!("EV-{number}")), 1, "{number}");
    }
    assert_eq!(ledger.all(), 256);
}
