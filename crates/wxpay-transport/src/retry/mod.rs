//! Whether and when a call is tried again.

pub(crate) mod budget;
pub(crate) mod policy;
