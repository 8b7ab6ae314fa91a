//! Audit records, logs and metrics of calls.

pub(crate) mod audit;
pub(crate) mod telemetry;
