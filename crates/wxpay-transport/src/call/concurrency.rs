//! How many calls run at the same time, and how many wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Lets so many calls in, and so many more wait in the order in which they came.
#[derive(Debug)]
pub(crate) struct Gate {
    permits: Arc<Semaphore>,
    waiting: Queue,
}

/// Counts those who wait, up to a bound.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: AtomicUsize,
    most: usize,
}

/// Says that too many wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) waiting: usize,
}

impl Gate {
    pub(crate) fn new(calls: usize, queue: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(calls)), waiting: Queue::new(queue) }
    }

    /// Waits for a place; it is free again when the permit is dropped.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, Full> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let place = self.waiting.enter()?;
        match Arc::clone(&self.permits).acquire_owned().await {
            Ok(permit) => Ok(permit),
            // It is never closed.
            Err(_) => Err(Full { waiting: place.before() }),
        }
    }
}

impl Queue {
    pub(crate) fn new(most: usize) -> Self {
        Self { waiting: AtomicUsize::new(0), most }
    }

    /// Tells whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }

    /// Takes a place in the queue, until it is dropped.
    pub(crate) fn enter(&self) -> Result<Place<'_>, Full> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        if before < self.most {
            return Ok(Place { queue: self, before });
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Err(Full { waiting: self.most })
    }
}

#[derive(Debug)]
pub(crate) struct Place<'q> {
    queue: &'q Queue,
    before: usize,
}

impl Place<'_> {
    /// Returns how many waited already when this place was taken.
    pub(crate) fn before(&self) -> usize {
        self.before
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.queue.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn so_many_run_so_many_wait_and_the_others_are_refused() {
        let gate = Arc::new(Gate::new(1, 1));
        let first = gate.enter().await.unwrap();
        let second = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter().await }
        });
        while gate.waiting.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gate.enter().await.unwrap_err(), Full { waiting: 1 });
        drop(first);
        let second = second.await.unwrap().unwrap();
        assert_eq!(gate.waiting.waiting.load(Ordering::Relaxed), 0);
        drop(second);
        assert!(gate.enter().await.is_ok());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_queue() {
        let gate = Gate::new(1, 1);
        let _first = gate.enter().await.unwrap();
        for _ in 0..3 {
            let waits = gate.enter();
            tokio::pin!(waits);
            assert!(futures_poll(waits.as_mut()).is_pending());
        }
    }

    fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }
}
