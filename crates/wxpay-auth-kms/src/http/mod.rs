//! HTTP to a key service: its address, TLS, the client, and the meaning of statuses and headers.

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
