//! Connection faults: where, and how.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The point at which a connection is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Point {
    /// Right after TCP is accepted.
    Accept,
    /// After the TLS handshake (after TCP, without TLS), before anything is read.
    Handshake,
    /// After this many bytes of a request have been read, or more; at least one.
    RequestBytes(usize),
    /// After a request has been read completely, before it is carried out.
    Request,
    /// After a request has been carried out, before the first byte of its response.
    Executed,
    /// After this many bytes of a response have been written.
    ResponseBytes(usize),
    /// After a response has been written completely. The response did not announce that the connection
    /// would be closed.
    Responded,
}

/// What is done to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum How {
    /// Reset it (RST).
    Reset,
    /// Close it (FIN); if bytes are unread, the operating system turns this into a reset.
    Close,
    /// Do nothing more on it.
    Stall,
}

/// A fault at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fault {
    pub(crate) at: Point,
    pub(crate) how: How,
}

impl Fault {
    /// Creates a fault.
    pub fn new(at: Point, how: How) -> Self {
        Self { at, how }
    }
}

/// The pending faults.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<(VecDeque<Fault>, Option<Fault>)>);

impl Faults {
    pub(crate) fn always(&self, fault: Option<Fault>) {
        let mut faults = self.lock();
        faults.0.clear();
        faults.1 = fault;
    }

    pub(crate) fn once(&self, fault: Fault) {
        self.lock().0.push_back(fault);
    }

    /// Returns the next fault without removing it.
    pub(crate) fn peek(&self) -> Option<Fault> {
        let faults = self.lock();
        faults.0.front().copied().or(faults.1)
    }

    /// Removes and returns the next fault, if its point matches.
    pub(crate) fn take(&self, is_for: impl Fn(Point) -> bool) -> Option<Fault> {
        let mut faults = self.lock();
        let next = faults.0.front().copied().or(faults.1).filter(|fault| is_for(fault.at))?;
        faults.0.pop_front();
        Some(next)
    }

    fn lock(&self) -> MutexGuard<'_, (VecDeque<Fault>, Option<Fault>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
