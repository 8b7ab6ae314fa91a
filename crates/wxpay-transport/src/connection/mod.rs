//! Connections to a domain: opened, used by one call at a time, and kept.

pub(crate) mod base_url;
pub(crate) mod connector;
pub(crate) mod dialer;
pub(crate) mod dns;
pub(crate) mod http1;
pub(crate) mod io;
mod platform_roots;
pub(crate) mod pool;
pub(crate) mod proxy;
pub(crate) mod reuse;
pub(crate) mod spares;
pub(crate) mod tls;
pub(crate) mod tls_sessions;
pub(crate) mod trail;
pub(crate) mod try_addresses;
pub(crate) mod userinfo;
