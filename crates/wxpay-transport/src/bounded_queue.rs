//! A queue that is not longer than a bound.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts those who wait, up to a bound.
#[derive(Debug)]
pub(crate) struct BoundedQueue {
    waiting: AtomicUsize,
    most: usize,
}

/// Says that too many wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueFull {
    pub(crate) waiting: usize,
}

impl BoundedQueue {
    pub(crate) fn new(most: usize) -> Self {
        Self { waiting: AtomicUsize::new(0), most }
    }

    /// Tells whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }

    /// Takes a place in the queue, until it is dropped.
    pub(crate) fn enter(&self) -> Result<QueuePlace<'_>, QueueFull> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        if before < self.most {
            return Ok(QueuePlace { queue: self, before });
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Err(QueueFull { waiting: self.most })
    }
}

/// Holds a place in the queue until it is dropped.
#[derive(Debug)]
pub(crate) struct QueuePlace<'q> {
    queue: &'q BoundedQueue,
    before: usize,
}

impl QueuePlace<'_> {
    /// Returns how many waited already when this place was taken.
    pub(crate) fn before(&self) -> usize {
        self.before
    }
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        self.queue.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
