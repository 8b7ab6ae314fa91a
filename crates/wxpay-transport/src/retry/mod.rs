//! Whether and when a call is retried.

pub(crate) mod budget;
pub(crate) mod policy;
