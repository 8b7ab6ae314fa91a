//! Byte streams, and what is counted and bounded on them.

#[cfg(feature = "redis")]
pub(crate) mod bounded;
pub(crate) mod metered;
pub(crate) mod paced;
pub(crate) mod stream;
pub(crate) mod traffic;
