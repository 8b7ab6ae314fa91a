//! Name resolution by the application.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

/// Looks up the addresses of a host, in place of the operating system.
///
/// For networks that pin the addresses of WeChat Pay, or have their own name server. TLS still checks
/// the certificate against the host name.
///
/// At most 32 addresses are used. The next one is tried when the previous one fails, or in parallel when
/// it does not respond. A failed address is tried last for a minute. Plain `http` to `localhost` is not looked up.
///
/// A panic in it during the first attempt of a call propagates to the caller: nothing was sent. A later
/// one is caught and logged, and the call ends with the result of the previous attempt.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `Resolve`",
    label = "expected an implementation of your own",
    note = "implementations begin with `#[async_trait]` (`wxpay_transport::async_trait`); the type is also `Debug + Send + Sync`"
)]
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync {
    /// Returns the addresses of a host, the preferred one first.
    ///
    /// # Errors
    /// If there are none; no connection is opened then, and nothing is sent.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        #[async_trait]
        impl<R: Resolve + ?Sized> Resolve for $pointer {
            async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
                (**self).resolve(host).await
            }
        }
    )+};
}

forward!(&R, Arc<R>, Box<R>);
