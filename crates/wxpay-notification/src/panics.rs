//! Code of the application: it may take too long, and it may panic.

use std::future::poll_fn;
use std::task::Poll;

use tokio::time::{Instant, timeout_at};
use wxpay_auth_core::internal::panics::caught;

/// How a future of the application ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended<T> {
    /// It completed.
    Done(T),
    /// It did not complete in time, and was dropped.
    Late,
    /// It panicked.
    Panicked,
}

/// Runs a future of the application until a time, and drops it. No panic of it gets out.
pub(crate) async fn run_until<F: Future>(deadline: Instant, future: F) -> Ended<F::Output> {
    // On the heap, so that it can be dropped where a panic is caught.
    let mut future = Box::pin(future);
    let polled = poll_fn(|cx| match caught(|| future.as_mut().poll(cx)) {
        Some(polled) => polled.map(Some),
        // A future that panicked is not polled again.
        None => Poll::Ready(None),
    });
    let ended = match timeout_at(deadline, polled).await {
        Ok(Some(output)) => Ended::Done(output),
        Ok(None) => Ended::Panicked,
        Err(_) => Ended::Late,
    };
    match (caught(|| drop(future)), ended) {
        (None, Ended::Late) => Ended::Panicked,
        (_, ended) => ended,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct PanicsWhenDropped;

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_in_one_of_three_ways() {
        assert_eq!(run_until(soon(), async { 7 }).await, Ended::Done(7));
        assert_eq!(run_until(soon(), std::future::pending::<u8>()).await, Ended::Late);
        assert_eq!(run_until(soon(), async { panic!("no") }).await, Ended::<u8>::Panicked);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_of_what_it_leaves_behind_does_not_get_out() {
        let late = async {
            let _guard = PanicsWhenDropped;
            std::future::pending::<u8>().await
        };
        assert_eq!(run_until(soon(), late).await, Ended::Panicked);
        let both = async {
            let payload = PanicsWhenDropped;
            std::panic::panic_any(payload)
        };
        assert_eq!(run_until(soon(), both).await, Ended::<u8>::Panicked);
    }
}
