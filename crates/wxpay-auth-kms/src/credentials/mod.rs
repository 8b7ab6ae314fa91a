//! With what a service is asked: where it comes from, how long it is kept, and who asks for the next.

#[cfg(feature = "_access-key")]
pub(crate) mod access_keys;
pub(crate) mod cache;
#[cfg(feature = "_access-key")]
pub(crate) mod metadata;
#[cfg(feature = "_access-key")]
pub(crate) mod provider;
pub(crate) mod request_failure;
mod single_flight;
