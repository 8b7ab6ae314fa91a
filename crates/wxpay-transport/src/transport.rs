//! The interface between typed services and HTTP.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::Error;
use crate::message::request::Request;
use crate::message::response::Response;

/// Sends signed requests and returns verified responses. Typed services are generic over it.
///
/// It is object safe, and implemented for `&T`, `Arc<T>` and `Box<T>`.
///
/// An implementation must keep the promises of [`Client`](crate::Client): nothing unverified is
/// returned as a [`Response`], and [`Error::delivery`] is correct.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `Transport`",
    label = "expected a `Client`, a reference to one, or a transport of your own",
    note = "implementations begin with `#[async_trait]` (`wxpay_transport::async_trait`); the type is also `Debug + Send + Sync`"
)]
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends a request and returns its verified 2xx response.
    ///
    /// # Errors
    /// [`Error`], which says whether the request was delivered, and what to do.
    async fn send(&self, request: Request) -> Result<Response, Error>;
}

macro_rules! forward {
    ($($wrapper:ty),*) => {$(
        #[async_trait]
        impl<T: Transport + ?Sized> Transport for $wrapper {
            async fn send(&self, request: Request) -> Result<Response, Error> {
                (**self).send(request).await
            }
        }
    )*};
}

forward!(&T, Arc<T>, Box<T>);
