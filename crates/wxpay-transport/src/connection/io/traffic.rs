//! Byte counters of a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts the bytes of a connection, and marks whether its socket is being checked.
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
    /// Adds bytes written to the operating system.
    pub(crate) fn add_written(&self, bytes: usize) {
        self.0.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Adds bytes read from the operating system, below TLS.
    pub(crate) fn add_read(&self, bytes: usize) {
        self.0.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Adds plaintext bytes from TLS: they may be a response, not a ticket or an alert.
    pub(crate) fn add_heard(&self, bytes: usize) {
        self.0.heard.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Returns the number of bytes written to the operating system.
    pub(crate) fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes read from the operating system.
    pub(crate) fn read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    /// Returns the number of plaintext bytes.
    pub(crate) fn heard(&self) -> u64 {
        self.0.heard.load(Ordering::Relaxed)
    }

    /// Runs `look` with reads going to the socket itself, bypassing the readiness that the runtime
    /// has cached. The runtime learns of bytes and of the end of a connection only when it polls for
    /// events, which may be long after the operating system has them.
    pub(crate) fn looking<T>(&self, look: impl FnOnce() -> T) -> T {
        self.0.is_looking.store(true, Ordering::Relaxed);
        let seen = look();
        self.0.is_looking.store(false, Ordering::Relaxed);
        seen
    }

    /// Returns whether the socket is being checked.
    pub(crate) fn is_looking(&self) -> bool {
        self.0.is_looking.load(Ordering::Relaxed)
    }
}
