//! Dropping a gateway.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use wxpay_testing::Gateway;

use crate::common::Call;

/// A task yields after a number of steps; what is dropped in the last one must not wait for more of
/// them.
#[tokio::test]
async fn a_task_without_any_share_left_can_drop_it() {
    let gateway = Gateway::start().await;
    let task = tokio::spawn(async move {
        let semaphore = tokio::sync::Semaphore::new(1);
        std::future::poll_fn(|cx| {
            // Each of these takes one step of the budget, until none is left.
            while Box::pin(semaphore.acquire()).as_mut().poll(cx).is_ready() {}
            std::task::Poll::Ready(())
        })
        .await;
        drop(gateway);
    });
    task.await.unwrap();
}

#[tokio::test]
async fn what_it_calls_can_drop_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (slot, (dropped, is_dropped)) = (Arc::new(Mutex::new(None)), mpsc::channel());
    let own = Arc::clone(&slot);
    let gateway = Gateway::start_on(listener, move |_| {
        drop(own.lock().unwrap().take());
        dropped.send(()).unwrap();
    })
    .await;
    let (call, url) = (Call::get(gateway.wechat_pay(), "/v3/x"), gateway.base_url());
    *slot.lock().unwrap() = Some(gateway);
    // The response may be lost with the server.
    let sending = tokio::spawn(async move { call.send(&url).await });
    let waits = move || is_dropped.recv_timeout(Duration::from_secs(20));
    assert_eq!(tokio::task::spawn_blocking(waits).await.unwrap(), Ok(()));
    sending.abort();
}

/// What drops it may be what its callback waits for.
#[tokio::test]
async fn a_callback_that_waits_for_what_drops_it_holds_nothing_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (called, is_called) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let goes_on = Mutex::new(goes_on);
    let gateway = Gateway::start_on(listener, move |_| {
        called.send(()).unwrap();
        let _ = goes_on.lock().unwrap().recv();
    })
    .await;
    let (call, url) = (Call::get(gateway.wechat_pay(), "/v3/x"), gateway.base_url());
    let sending = tokio::spawn(async move { call.send(&url).await });
    let drops = move || {
        is_called.recv().unwrap();
        drop(gateway);
        drop(go_on);
    };
    let (ended, has_ended) = mpsc::channel();
    std::thread::spawn(move || {
        drops();
        ended.send(()).unwrap();
    });
    let waits = move || has_ended.recv_timeout(Duration::from_secs(60));
    assert_eq!(tokio::task::spawn_blocking(waits).await.unwrap(), Ok(()));
    sending.abort();
}

#[tokio::test]
async fn what_was_carried_out_is_in_the_journal_though_the_callback_panics() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway =
        Gateway::start_on(listener, |_| std::panic::resume_unwind(Box::new("told"))).await;
    let target = "/v3/marketing/partner/delivery-plan/delivery-plans/12000/terminate";
    let (call, url) = (Call::post(gateway.wechat_pay(), target), gateway.base_url());
    let sending = tokio::spawn(async move { call.send(&url).await });
    let _ = sending.await;
    assert_eq!((gateway.executions(), gateway.journal().len()), (1, 1));
}
