//! An HTTP server that receives notifications, and what was handed over to it.

use std::collections::HashMap;
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::post_service;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use wxpay_auth::{ApiV3Key, KeyRing, Timestamp};
use wxpay_notification::{
    Notification, NotificationEndpoint, NotificationReceiver, NotificationService, ReplayStore,
};
use wxpay_testing::{NotificationSchedule, OutgoingNotification, WechatPay};

pub(super) const RESOURCE: &str = r#"{"plan_id":"12000","plan_state":"TERMINATED","audit_state":"PASSED","change_reason":"终止"}"#;
pub(super) const NOW: u64 = 1_798_732_800;

type Handling = Pin<Box<dyn Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send>>;
/// What an application does with a notification.
pub(super) type Handler = Arc<dyn Fn(Notification) -> Handling + Send + Sync>;
pub(super) type Endpoint<S> = NotificationEndpoint<KeyRing, ApiV3Key, S>;

/// Makes a handler of a function.
pub(super) fn handler<H, F, E>(handle: H) -> Handler
where
    H: Fn(Notification) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>> + 'static,
{
    Arc::new(move |notification| {
        let handling = handle(notification);
        Box::pin(async move { handling.await.map_err(Into::into) })
    })
}

/// How often each id was handed over, by all receivers together.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<HashMap<String, usize>>>);

impl Ledger {
    pub(super) fn write(&self, id: &str) {
        *self.0.lock().unwrap().entry(id.to_owned()).or_default() += 1;
    }

    pub(super) fn times(&self, id: &str) -> usize {
        self.0.lock().unwrap().get(id).copied().unwrap_or_default()
    }

    pub(super) fn all(&self) -> usize {
        self.0.lock().unwrap().values().sum()
    }

    /// A handler that writes each notification here.
    pub(super) fn handler(&self) -> Handler {
        let ledger = self.clone();
        handler(move |notification| {
            ledger.write(notification.id());
            async { Ok::<(), std::io::Error>(()) }
        })
    }
}

/// A WeChat Pay whose clock stands still.
pub(super) fn wechat_pay() -> Arc<WechatPay> {
    WechatPay::builder().clock(|| Timestamp::from_unix_secs(NOW)).build()
}

/// An endpoint whose clock stands still.
pub(super) fn endpoint<S: ReplayStore + 'static>(wechat_pay: &WechatPay, store: S) -> Endpoint<S> {
    endpoint_at(wechat_pay, store, || Timestamp::from_unix_secs(NOW))
}

pub(super) fn endpoint_at<S: ReplayStore + 'static>(
    wechat_pay: &WechatPay,
    store: S,
    clock: impl Fn() -> Timestamp + Send + Sync + 'static,
) -> Endpoint<S> {
    let key = ApiV3Key::new(wechat_pay.api_v3_key()).unwrap();
    let receiver = NotificationReceiver::new(wechat_pay.key_ring_with_expired_certificate(), key);
    NotificationEndpoint::new(receiver.clock(clock), store)
}

/// A server of axum on a free port, stopped on drop.
pub(super) struct Receiver {
    pub(super) url: String,
    server: JoinHandle<()>,
}

impl Receiver {
    pub(super) async fn start<S: ReplayStore + 'static>(
        endpoint: Endpoint<S>,
        handler: Handler,
    ) -> Self {
        let service = NotificationService::from_fn(endpoint, move |n| handler(n));
        let router = Router::new().route("/notify", post_service(service));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/notify", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, server }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Sends a notification once, and returns the status.
pub(super) async fn status(notification: &OutgoingNotification, url: &str) -> Option<u16> {
    notification.send_once(url).await.status
}

/// Sends a notification until it is acknowledged, and returns the statuses.
pub(super) async fn statuses(notification: &OutgoingNotification, url: &str) -> Vec<Option<u16>> {
    let often = NotificationSchedule::new([Duration::from_millis(200); 300]);
    let attempts = notification.deliver(url, &often).await;
    attempts.into_iter().map(|attempt| attempt.status).collect()
}

/// Asserts that a notification was acknowledged in the end, and that WeChat Pay was told until then to send it again: by
/// 503, or by no response in time.
pub(super) fn assert_acknowledged(statuses: &[Option<u16>]) {
    let (last, others) = statuses.split_last().unwrap();
    assert_eq!(*last, Some(204), "{statuses:?}");
    let is_sent_again = |status: &Option<u16>| matches!(status, Some(503) | None);
    assert!(others.iter().all(is_sent_again), "{statuses:?}");
}
