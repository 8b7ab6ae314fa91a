//! Signatures that wait for a session.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::Pkcs11Error;

/// A bounded queue. A job is removed as soon as its caller gives up, so it occupies neither a place
/// nor memory until a worker comes to it.
pub(crate) struct SignatureQueue<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
    depth: usize,
}

struct State<J> {
    /// By number: the lowest is the oldest.
    waiting: BTreeMap<u64, J>,
    next: u64,
    closed: bool,
}

impl<J> SignatureQueue<J> {
    pub(crate) fn new(depth: usize) -> Self {
        let state = State { waiting: BTreeMap::new(), next: 0, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), depth }
    }

    /// Adds a job. It is removed when the ticket is dropped, unless a worker has taken it.
    pub(crate) fn push(&self, job: J) -> Result<Ticket<'_, J>, Pkcs11Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Pkcs11Error::ShutDown);
        }
        if state.waiting.len() >= self.depth {
            return Err(Pkcs11Error::Overloaded { waiting: self.depth });
        }
        let number = state.next;
        state.next += 1;
        state.waiting.insert(number, job);
        drop(state);
        self.changed.notify_one();
        Ok(Ticket { queue: self, number })
    }

    /// Waits for a job; `None` when the queue is closed and empty.
    pub(crate) fn take(&self) -> Option<J> {
        let mut state = self.lock();
        loop {
            if let Some((_, job)) = state.waiting.pop_first() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Accepts no more jobs. Queued jobs are still taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Returns the number of queued jobs.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes its job when it is dropped.
pub(crate) struct Ticket<'a, J> {
    queue: &'a SignatureQueue<J>,
    number: u64,
}

impl<J> Drop for Ticket<'_, J> {
    fn drop(&mut self) {
        let job = self.queue.lock().waiting.remove(&self.number);
        // Dropped outside the lock, because a job may have a destructor.
        drop(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_come_first_served_up_to_the_depth() {
        let queue = SignatureQueue::new(2);
        let first = queue.push("a").unwrap();
        let second = queue.push("b").unwrap();
        assert!(matches!(queue.push("c"), Err(Pkcs11Error::Overloaded { waiting: 2 })));
        assert_eq!(queue.take(), Some("a"));
        let _third = queue.push("c").unwrap();
        drop(first);
        assert_eq!(queue.len(), 2);
        drop(second);
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.take(), Some("c"));
    }

    #[test]
    fn a_closed_queue_is_emptied_and_takes_no_more() {
        let queue = SignatureQueue::new(2);
        let _ticket = queue.push("a").unwrap();
        queue.close();
        assert!(matches!(queue.push("b"), Err(Pkcs11Error::ShutDown)));
        assert_eq!(queue.take(), Some("a"));
        assert_eq!(queue.take(), None);
    }
}
