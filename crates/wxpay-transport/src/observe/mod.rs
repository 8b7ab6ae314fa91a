//! Audit records, logs and metrics of calls.

pub(crate) mod audit;
pub(crate) mod call_span;
pub(crate) mod log;
pub(crate) mod telemetry;
