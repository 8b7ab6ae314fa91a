//! What is not authentic is refused, and not handed over.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wxpay_notification::MemoryReplayStore;
use wxpay_testing::{NotificationFault, send_notification};

use super::receiver::{Ledger, RESOURCE, Receiver, endpoint, status, wechat_pay};

#[tokio::test]
async fn authentic_notifications_of_every_form_are_handed_over() {
    let (wechat_pay, ledger) = (wechat_pay(), Ledger::default());
    let store = MemoryReplayStore::new();
    let receiver = Receiver::start(endpoint(&wechat_pay, store), ledger.handler()).await;
    let plain = |id: &str| wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE).id(id);
    let long = "x".repeat(200);
    for (number, notification) in [
        plain("1"),
        plain("2").signed_with_certificate(),
        plain("3").with_tabs().field("further", vec![7]),
        plain("4").associated_data(None).original_type("another"),
        plain("5").associated_data(Some("")),
        plain("6").field("event_type", "A_NEW_EVENT.OF_MORE_THAN_THIRTY_TWO_CHARACTERS"),
        plain(&long).field("summary", long.clone()),
        wechat_pay.notification("A.B", vec![b'x'; 1 << 20]).id("8"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(status(&notification, &receiver.url).await, Some(204), "{notification:?}");
        assert_eq!(ledger.times(notification.own_id()), 1, "{notification:?}");
        assert_eq!(ledger.all(), number + 1);
    }
}

#[tokio::test]
async fn each_fault_is_refused_and_the_real_one_follows() {
    let (wechat_pay, ledger) = (wechat_pay(), Ledger::default());
    let store = MemoryReplayStore::new();
    let receiver = Receiver::start(endpoint(&wechat_pay, store), ledger.handler()).await;
    for fault in NotificationFault::of_signature() {
        let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE);
        let forged = send_notification(&receiver.url, notification.request_with(fault)).await;
        let forged = forged.unwrap();
        assert_eq!(forged.status(), 401, "{fault:?}");
        let body: serde_json::Value = serde_json::from_slice(forged.body()).unwrap();
        assert_eq!(body["code"], "FAIL", "{fault:?}");
        // The sender learns nothing of what is held here, and nothing is repeated.
        for told in ["SIGNTEST", "PUB_KEY_ID", "5185", notification.own_id()] {
            assert!(!body.to_string().contains(told), "{fault:?}: {body}");
        }
        assert_eq!(ledger.times(notification.own_id()), 0, "{fault:?}");
        assert_eq!(status(&notification, &receiver.url).await, Some(204), "{fault:?}");
        assert_eq!(ledger.times(notification.own_id()), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_decrypted_is_sent_again() {
    let (wechat_pay, ledger) = (wechat_pay(), Ledger::default());
    let store = MemoryReplayStore::new();
    let receiver = Receiver::start(endpoint(&wechat_pay, store), ledger.handler()).await;
    let notification = wechat_pay.notification("DELIVERY_PLAN.CHANGE", RESOURCE);
    let other_key = notification.request_with(NotificationFault::OtherApiV3Key);
    assert_eq!(send_notification(&receiver.url, other_key).await.unwrap().status(), 503);
    assert_eq!((ledger.all(), status(&notification, &receiver.url).await), (0, Some(204)));
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_read() {
    let (wechat_pay, ledger) = (wechat_pay(), Ledger::default());
    let key = wxpay_auth::ApiV3Key::new(wechat_pay.api_v3_key()).unwrap();
    let receiver = wxpay_notification::NotificationReceiver::new(wechat_pay.key_ring(), key);
    let small = receiver.body_limit(1000);
    let endpoint = wxpay_notification::NotificationEndpoint::new(small, MemoryReplayStore::new());
    let receiver = Receiver::start(endpoint, ledger.handler()).await;
    let notification = wechat_pay.notification("A.B", vec![b'x'; 1000]);
    let response = send_notification(&receiver.url, notification.request()).await.unwrap();
    assert_eq!((response.status().as_u16(), ledger.all()), (413, 0));
}

#[tokio::test]
async fn an_endless_body_is_refused_at_the_limit() {
    let (wechat_pay, ledger) = (wechat_pay(), Ledger::default());
    let store = MemoryReplayStore::new();
    let receiver = Receiver::start(endpoint(&wechat_pay, store), ledger.handler()).await;
    let address = receiver.url.trim_start_matches("http://").trim_end_matches("/notify");
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let sends = tokio::spawn(async move {
        let head = "POST /notify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        write.write_all(head.as_bytes()).await?;
        loop {
            let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
            write.write_all(&chunk).await?;
        }
        #[expect(unreachable_code, reason = "names the type")]
        Ok::<(), std::io::Error>(())
    });
    let mut status = [0; 12];
    read.read_exact(&mut status).await.unwrap();
    sends.abort();
    assert_eq!(String::from_utf8_lossy(&status), "HTTP/1.1 413");
}

#[tokio::test]
async fn what_is_signed_and_no_notification_is_refused() {
    let (wechat_pay, ledger) = (wechat_pay(), Ledger::default());
    let store = MemoryReplayStore::new();
    let receiver = Receiver::start(endpoint(&wechat_pay, store), ledger.handler()).await;
    let notification = wechat_pay.notification("A.B", RESOURCE);
    for other in [
        notification.clone().id(""),
        notification.clone().field("id", 7),
        notification.clone().field("event_type", serde_json::Value::Null),
    ] {
        assert_eq!(status(&other, &receiver.url).await, Some(400), "{other:?}");
    }
    assert_eq!(ledger.all(), 0);
}
