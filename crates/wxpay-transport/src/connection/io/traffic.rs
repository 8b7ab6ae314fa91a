//! What went over a connection, in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts the bytes of a connection, and says whether its socket is being looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    read: AtomicU64,
    heard: AtomicU64,
    is_looking: AtomicBool,
}

impl Traffic {
    /// Notes bytes that were handed to the operating system.
    pub(crate) fn add_written(&self, bytes: usize) {
        self.0.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes bytes that came from the operating system, below TLS.
    pub(crate) fn add_read(&self, bytes: usize) {
        self.0.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes bytes that came out of TLS: they may be a response, and are no ticket and no alert.
    pub(crate) fn add_heard(&self, bytes: usize) {
        self.0.heard.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Returns how many bytes were handed to the operating system.
    pub(crate) fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Returns how many bytes came from the operating system.
    pub(crate) fn read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    /// Returns how many bytes came out of TLS.
    pub(crate) fn heard(&self) -> u64 {
        self.0.heard.load(Ordering::Relaxed)
    }

    /// Lets whatever is read meanwhile come from the socket itself, past the readiness that the runtime
    /// has cached. The runtime learns of bytes and of the end of a connection only when it polls for
    /// events, which may be long after the operating system has them.
    pub(crate) fn looking<T>(&self, look: impl FnOnce() -> T) -> T {
        self.0.is_looking.store(true, Ordering::Relaxed);
        let seen = look();
        self.0.is_looking.store(false, Ordering::Relaxed);
        seen
    }

    /// Tells whether the socket is being looked at.
    pub(crate) fn is_looking(&self) -> bool {
        self.0.is_looking.load(Ordering::Relaxed)
    }
}
