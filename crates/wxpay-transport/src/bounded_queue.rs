//! A queue of bounded length.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the waiters of a queue, up to a bound.
#[derive(Debug)]
pub(crate) struct BoundedQueue {
    waiting: AtomicUsize,
    most: usize,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueFull {
    pub(crate) waiting: usize,
}

impl BoundedQueue {
    pub(crate) fn new(most: usize) -> Self {
        Self { waiting: AtomicUsize::new(0), most }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }

    /// Enters the queue; dropping the returned place leaves it.
    pub(crate) fn enter(&self) -> Result<QueuePlace<'_>, QueueFull> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        if before < self.most {
            return Ok(QueuePlace { queue: self, before });
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Err(QueueFull { waiting: self.most })
    }
}

/// A place in the queue, held until it is dropped.
#[derive(Debug)]
pub(crate) struct QueuePlace<'q> {
    queue: &'q BoundedQueue,
    before: usize,
}

impl QueuePlace<'_> {
    /// Returns how many were waiting when this place was taken.
    pub(crate) fn before(&self) -> usize {
        self.before
    }
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        self.queue.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
