//! The gateway is what the documentation of WeChat Pay says it is, except where it is told otherwise.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod authentication;
mod certificates;
mod common;
mod conformance;
mod gateway_end;
mod misbehaviour;
mod plan_calls;
mod proxy;
mod responses;
mod wire;
