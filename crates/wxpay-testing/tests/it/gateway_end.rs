//! Dropping a gateway.

use wxpay_testing::Gateway;

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
