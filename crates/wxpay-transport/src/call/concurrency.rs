//! Limits how many calls run at the same time, and how many wait.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::bounded_queue::{BoundedQueue, QueueFull};

/// Admits a limited number of calls, and queues a limited number of others in order of arrival.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimit {
    permits: Arc<Semaphore>,
    waiting: BoundedQueue,
    limits: (usize, usize),
}

impl ConcurrencyLimit {
    pub(crate) fn new(calls: usize, queue: usize) -> Self {
        let (permits, waiting) = (Arc::new(Semaphore::new(calls)), BoundedQueue::new(queue));
        Self { permits, waiting, limits: (calls, queue) }
    }

    /// Creates another one with the same limits.
    pub(crate) fn same_limits(&self) -> Self {
        let (calls, queue) = self.limits;
        Self::new(calls, queue)
    }

    /// Waits for a permit; dropping it frees the place.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, QueueFull> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let place = self.waiting.enter()?;
        match Arc::clone(&self.permits).acquire_owned().await {
            Ok(permit) => Ok(permit),
            // The semaphore is never closed.
            Err(_) => Err(QueueFull { waiting: place.before() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn so_many_run_so_many_wait_and_the_others_are_refused() {
        let limit = Arc::new(ConcurrencyLimit::new(1, 1));
        let first = limit.enter().await.unwrap();
        let second = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { limit.enter().await }
        });
        while limit.waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(limit.enter().await.unwrap_err(), QueueFull { waiting: 1 });
        drop(first);
        let second = second.await.unwrap().unwrap();
        assert!(limit.waiting.is_empty());
        drop(second);
        assert!(limit.enter().await.is_ok());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_queue() {
        let limit = ConcurrencyLimit::new(1, 1);
        let _first = limit.enter().await.unwrap();
        for _ in 0..3 {
            let waits = limit.enter();
            tokio::pin!(waits);
            assert!(futures_poll(waits.as_mut()).is_pending());
        }
    }

    fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }
}
