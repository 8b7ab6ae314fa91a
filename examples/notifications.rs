//! Receives notifications (回调通知) with axum, and hands each over once.
//!
//! ```sh
//! cargo run -p wxpay-examples --example notifications                       # ids in memory
//! cargo run -p wxpay-examples --example notifications -- redis://127.0.0.1  # ids in Redis or Valkey
//! ```
//!
//! A gateway inside this program sends them: one, the same again, a signature probe, one that was changed on its way.
//! Then the server is stopped, started anew as after a new release, and gets the first one once more. With Redis it
//! knows that one; in memory it does not.

#[path = "shared/arguments.rs"]
mod arguments;

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::routing::post_service;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use wxpay_auth::{ApiV3Key, KeyRing};
use wxpay_notification::events::Event;
use wxpay_notification::{
    MemoryReplayStore, Notification, NotificationEndpoint, NotificationReceiver,
    NotificationService, RedisReplayStore, ReplayStore, ResourceError,
};
use wxpay_testing::{Gateway, NotificationFault, send_notification};

/// What an application does: little, and in less than four seconds. Here it would write the event and its id into a
/// table, in one transaction.
async fn record(notification: Notification) -> Result<(), ResourceError> {
    match notification.event()? {
        Event::DeliveryPlanChange(change) => {
            println!("  handed over: plan {} is {}", change.plan_id, change.plan_state_name());
        }
        // Types that are not known are kept, too.
        _ => println!("  handed over: {}", notification.event_type()),
    }
    Ok(())
}

/// Starts a server on a free port.
async fn serve(
    key_ring: KeyRing,
    api_v3_key: &str,
    store: Arc<dyn ReplayStore>,
) -> Result<(String, JoinHandle<std::io::Result<()>>), Box<dyn Error>> {
    for finding in store.check().await? {
        println!("warning: {finding}; {}", finding.hint());
    }
    let receiver = NotificationReceiver::new(key_ring, ApiV3Key::new(api_v3_key)?);
    let endpoint = NotificationEndpoint::new(receiver, store);
    let service = NotificationService::from_fn(endpoint, record);
    let router = Router::new().route("/wechatpay/notify", post_service(service));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/wechatpay/notify", listener.local_addr()?);
    Ok((url, tokio::spawn(async move { axum::serve(listener, router).await })))
}

/// Opens the store of ids, as each process of an application does.
fn open_store(redis: Option<&str>, mchid: &str) -> Result<Arc<dyn ReplayStore>, Box<dyn Error>> {
    Ok(match redis {
        Some(url) => Arc::new(RedisReplayStore::new(url)?.namespace(mchid)),
        None => Arc::new(MemoryReplayStore::new()),
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ([], [redis]) = arguments::arguments("notifications [REDIS_URL]");
    let gateway = Gateway::start().await;
    let (mchid, key) = (gateway.mchid(), gateway.api_v3_key());
    let resource = r#"{"plan_id":"12000","plan_state":"TERMINATED","audit_state":"PASSED",
        "change_reason":"品牌终止","modify_time":"2027-01-02T03:04:05.120+08:00"}"#;
    let notification = gateway.wechat_pay().notification("DELIVERY_PLAN.CHANGE", resource);

    let store = open_store(redis.as_deref(), mchid.as_str())?;
    let (url, server) = serve(gateway.key_ring(), key, store).await?;
    for (what, request) in [
        ("a notification", notification.request()),
        ("the same, sent again", notification.request()),
        ("a signature probe", notification.request_with(NotificationFault::Probe)),
        ("one that was changed", notification.request_with(NotificationFault::TamperedBody)),
        ("one of ten minutes ago", notification.request_with(NotificationFault::Stale)),
    ] {
        println!("{what}:");
        let response = send_notification(&url, request).await?;
        println!("  {} {}", response.status(), String::from_utf8_lossy(response.body()));
    }

    server.abort();
    let store = open_store(redis.as_deref(), mchid.as_str())?;
    let (url, _server) = serve(gateway.key_ring(), key, store).await?;
    println!("the first one, after a restart:");
    let response = send_notification(&url, notification.request()).await?;
    println!("  {}", response.status());
    println!("ended");
    Ok(())
}
