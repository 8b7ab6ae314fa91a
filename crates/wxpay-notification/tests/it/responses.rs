//! What is responded says nothing of the request, and nothing of the application.

use wxpay_notification::{MemoryReplayStore, NotificationEndpoint, Outcome};
use wxpay_testing::NotificationFault;

use crate::receiver::{RESOURCE, receiver, wechat_pay};

#[tokio::test]
async fn each_outcome_has_its_status() {
    let wechat_pay = wechat_pay();
    let endpoint = NotificationEndpoint::new(receiver(&wechat_pay), MemoryReplayStore::new());
    let sent = wechat_pay.notification("A.B", RESOURCE).id("EV-1");
    let mut statuses = Vec::new();
    for request in [
        sent.request_with(NotificationFault::Unsigned),
        sent.request_with(NotificationFault::Stale),
        sent.request_with(NotificationFault::UnknownSerial),
        sent.request_with(NotificationFault::OtherApiV3Key),
        sent.clone().id("").request(),
        sent.request(),
        sent.request(),
    ] {
        let handled = endpoint.handle(request, |_| async { Ok::<(), std::io::Error>(()) }).await;
        assert_eq!(handled.id().is_some(), handled.receipt().is_accepted(), "{handled:?}");
        let response = handled.into_response();
        let message = String::from_utf8(response.body().to_vec()).unwrap();
        assert!(!message.contains("PUB_KEY") && !message.contains("EV-1"), "{message}");
        statuses.push((response.status().as_u16(), message));
    }
    let fail =
        |status, message: &str| (status, format!(r#"{{"code":"FAIL","message":"{message}"}}"#));
    let expected = [
        fail(401, "it is not signed"),
        fail(401, "it was signed at another time"),
        fail(401, "the signature was not accepted"),
        fail(503, "it cannot be processed now"),
        fail(400, "it is not a notification"),
        (204, String::new()),
        (204, String::new()),
    ];
    assert_eq!(statuses, expected);
}

#[tokio::test]
async fn an_error_of_the_handler_stays_in_the_process() {
    let wechat_pay = wechat_pay();
    let endpoint = NotificationEndpoint::new(receiver(&wechat_pay), MemoryReplayStore::new());
    let sent = wechat_pay.notification("A.B", RESOURCE);
    let handled = endpoint.handle(sent.request(), |_| async { Err::<(), _>("pa55word") }).await;
    let Outcome::HandlerFailed(error) = handled.outcome() else { panic!("{handled:?}") };
    assert_eq!(error.to_string(), "pa55word");
    let response = handled.into_response();
    assert_eq!(response.status(), 503);
    assert!(!String::from_utf8_lossy(response.body()).contains("pa55"));
}
