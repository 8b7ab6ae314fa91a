//! Byte streams, and the counters and bounds on them.

#[cfg(feature = "redis")]
pub(crate) mod bounded;
pub(crate) mod metered;
pub(crate) mod paced;
pub(crate) mod stream;
pub(crate) mod traffic;
