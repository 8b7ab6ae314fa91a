//! Audit records, logs and metrics of calls.

pub(crate) mod audit;
pub(crate) mod call_span;
#[cfg(test)]
#[cfg(feature = "metrics")]
pub(crate) mod gauges;
pub(crate) mod log;
pub(crate) mod telemetry;
