//! Typed calls on the gateway.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod calls;
mod checked;
mod checked_in_time;
mod common;
mod coupons;
mod fake;
mod list_all;
mod rules_compared;
mod samples;
mod what_is_not_known;
