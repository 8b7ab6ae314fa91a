//! Credentials: their sources, their cache, and how concurrent callers share one refresh.

#[cfg(feature = "_access-key")]
pub(crate) mod access_keys;
pub(crate) mod cache;
#[cfg(feature = "_access-key")]
pub(crate) mod metadata;
#[cfg(feature = "_access-key")]
pub(crate) mod provider;
pub(crate) mod request_failure;
mod single_flight;
