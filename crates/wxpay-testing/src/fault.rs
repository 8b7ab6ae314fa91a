//! Faults on the wire: where, and how.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names the point at which a connection is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Point {
    /// Right after TCP was accepted.
    Accept,
    /// After TLS was agreed on (after TCP, without TLS), before anything is read.
    Handshake,
    /// When so many bytes of a request have been read, or more; at least one.
    RequestBytes(usize),
    /// When a request has been read to its end, and not been carried out.
    Request,
    /// When a request has been carried out, before a byte of its response.
    Executed,
    /// When so many bytes of a response have been written.
    ResponseBytes(usize),
    /// When a response has been written to its end. It did not say that the connection would not be
    /// kept.
    Answered,
}

/// Names what is done to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum How {
    /// It is reset (RST).
    Reset,
    /// It is closed (FIN); where bytes were not read, the operating system makes a reset of it.
    Close,
    /// Nothing more happens on it.
    Stall,
}

/// Joins a point with what is done there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fault {
    pub(crate) at: Point,
    pub(crate) how: How,
}

impl Fault {
    /// Makes one.
    pub fn new(at: Point, how: How) -> Self {
        Self { at, how }
    }
}

/// The faults that lie ahead.
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

    /// Looks at the next fault.
    pub(crate) fn peek(&self) -> Option<Fault> {
        let faults = self.lock();
        faults.0.front().copied().or(faults.1)
    }

    /// Takes the next fault, if it is for such a point.
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
