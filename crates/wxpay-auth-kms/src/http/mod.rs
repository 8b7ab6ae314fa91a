//! HTTP to a key service: where it is, TLS, the client, and what statuses and headers say.

#[cfg(feature = "_http")]
pub(crate) mod client;
#[cfg(feature = "_endpoint")]
pub(crate) mod endpoint;
#[cfg(any(feature = "_http", feature = "aws"))]
pub(crate) mod retry_after;
#[cfg(any(feature = "_http", feature = "aws"))]
pub(crate) mod status;
#[cfg(feature = "_http")]
pub(crate) mod tls;
