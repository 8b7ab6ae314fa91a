//! What is recorded of calls: audit records, logs and metrics.

pub(crate) mod audit;
pub(crate) mod call_span;
pub(crate) mod log;
pub(crate) mod telemetry;
