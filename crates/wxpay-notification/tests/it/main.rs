//! What becomes of a notification, and of a store that fails.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod failing_store;
mod guarded_calls;
mod receiver;
mod responses;
mod secrets;
#[cfg(feature = "tower")]
mod service;
