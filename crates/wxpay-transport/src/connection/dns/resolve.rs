//! How names become addresses.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

/// Looks up the addresses of a host, in place of the operating system.
///
/// For networks that pin the addresses of WeChat Pay, or have a name server of their own. What TLS
/// checks the certificate against stays the name.
///
/// Of several addresses each is tried, at most 32: the next one when the one before fails, or beside it when
/// that does not answer. One that failed comes last for a minute. Plain `http` to `localhost` is not looked up.
///
/// A panic in it passes on to the caller in the first attempt of a call, when nothing was sent. Later it is
/// caught and logged, and the call ends as the attempt before ended.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `Resolve`",
    label = "expected an implementation of your own",
    note = "implementations begin with `#[async_trait]` (`wxpay_transport::async_trait`); the type is also `Debug + Send + Sync`"
)]
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync {
    /// Returns the addresses of a host, the best one first.
    ///
    /// # Errors
    /// When there are none; no connection is opened then, and nothing is sent.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

#[async_trait]
impl<T: Resolve + ?Sized> Resolve for Arc<T> {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        (**self).resolve(host).await
    }
}
