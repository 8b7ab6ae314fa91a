//! The endpoint as a `tower` service.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use tower_layer::Layer;
use tower_service::Service;
use wxpay_notification::{
    MemoryReplayStore, Notification, NotificationEndpoint, NotificationLayer,
};

use crate::receiver::{RESOURCE, receiver, wechat_pay};

/// A service of an application, which is ready only at the second question.
#[derive(Debug, Clone, Default)]
struct Ready {
    is_ready: bool,
}

impl Service<Notification> for Ready {
    type Response = ();
    type Error = &'static str;
    type Future = std::future::Ready<Result<(), &'static str>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        if std::mem::replace(&mut self.is_ready, true) {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, _: Notification) -> Self::Future {
        assert!(self.is_ready);
        std::future::ready(Ok(()))
    }
}

#[tokio::test]
async fn another_service_is_asked_whether_it_is_ready() {
    let wechat_pay = wechat_pay();
    let endpoint = NotificationEndpoint::new(receiver(&wechat_pay), MemoryReplayStore::new());
    let mut service = NotificationLayer::new(endpoint).layer(Ready::default());
    let request = wechat_pay.notification("A.B", RESOURCE).request();
    let response = service.call(request.map(Full::new)).await.unwrap();
    assert_eq!(response.status(), 204);
    let empty = http::Request::new(Empty::<Bytes>::new());
    let response: Result<_, Infallible> = service.call(empty).await;
    let response = response.unwrap();
    assert_eq!(response.status(), 401);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"code":"FAIL","message":"it is not signed"}"#);
}

#[tokio::test]
async fn a_body_that_says_or_turns_out_to_be_too_long_is_not_kept() {
    let wechat_pay = wechat_pay();
    let small = receiver(&wechat_pay).body_limit(100);
    let endpoint = NotificationEndpoint::new(small, MemoryReplayStore::new());
    let mut service = NotificationLayer::new(endpoint).layer(Ready::default());
    let request = wechat_pay.notification("A.B", RESOURCE).request();
    let known = request.clone().map(Full::new);
    assert_eq!(service.call(known).await.unwrap().status(), 413);
    // Without a length: a decompressor, say, knows it only in the end.
    let unknown = request.map(|body| Full::new(body).map_frame(|frame| frame));
    assert_eq!(service.call(unknown).await.unwrap().status(), 413);
}
