//! The interface to the merchant's key.

mod algorithm;
mod canary;
mod error;
mod exchangeable;
mod signature;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::algorithm::{Algorithm, Scheme};
pub use self::canary::CanarySigner;
pub use self::error::{SignError, SignErrorKind};
pub use self::exchangeable::ExchangeableSigner;
pub use self::signature::Signature;
use crate::serial_no::SerialNo;

/// Signs messages with the merchant's key.
///
/// The key itself is never exposed: it may be in a file, an HSM, or a cloud KMS. The trait is object
/// safe, and implemented for `&S`, `Arc<S>` and `Box<S>`, so a signer can be a type parameter as well
/// as an `Arc<dyn Signer>` chosen at run time.
///
/// # Example
///
/// A signer for a key that this library never accesses:
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::{Algorithm, SerialNo, SignError, SignErrorKind, Signature, Signer, async_trait};
///
/// /// Requests signatures from the company's key service.
/// #[derive(Debug)]
/// struct KeyService {
///     serial_no: SerialNo,
/// }
///
/// # impl KeyService {
/// #     async fn request(&self, _message: &[u8]) -> Result<Vec<u8>, std::io::Error> {
/// #         Err(std::io::ErrorKind::ConnectionRefused.into())
/// #     }
/// # }
/// #[async_trait]
/// impl Signer for KeyService {
///     fn algorithm(&self) -> Algorithm {
///         Algorithm::Sha256Rsa2048
///     }
///
///     fn next_serial_no(&self) -> Option<SerialNo> {
///         Some(self.serial_no.clone())
///     }
///
///     async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
///         // The message is not hashed yet: the service does RSASSA-PKCS1-v1_5 with SHA-256.
///         let bytes = self.request(message).await.map_err(|e| {
///             SignError::new(SignErrorKind::Unavailable, "the key service does not answer")
///                 .with_source(e)
///         })?;
///         Ok(Signature::new(self.serial_no.clone(), bytes))
///     }
/// }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let signer: std::sync::Arc<dyn Signer> = std::sync::Arc::new(KeyService {
/// #     serial_no: "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB".parse()?,
/// # });
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # let error = runtime.block_on(signer.sign(b"message")).unwrap_err();
/// # assert_eq!(error.kind(), SignErrorKind::Unavailable);
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `Signer`",
    label = "expected a `FileKeySigner`, a `Pkcs11Signer`, a `KmsSigner`, an `Arc<dyn Signer>`, or a signer of your own",
    note = "implementations begin with `#[async_trait]` (`wxpay_auth::async_trait`); the type is also `Debug + Send + Sync`"
)]
#[async_trait]
pub trait Signer: fmt::Debug + Send + Sync {
    /// Returns the algorithm, which determines the scheme token of the `Authorization` header.
    fn algorithm(&self) -> Algorithm;

    /// Returns the serial of the next signature, if it is known in advance.
    ///
    /// It lets a client refuse before signing what it would not send: the serial of a key that has no
    /// certificate, or of the certificate that the verifier prefers responses to be signed with. The client
    /// checks [`Signature::serial_no`] in any case. The default is `None`.
    fn next_serial_no(&self) -> Option<SerialNo> {
        None
    }

    /// Signs a message that has *not* been hashed yet.
    ///
    /// Dropping the future abandons the signature; it must leave the signer usable.
    ///
    /// # Errors
    /// [`SignError`], whose [`kind`](SignError::kind) says whether a retry can help. Nothing has been sent
    /// to WeChat Pay by then.
    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError>;

    /// Signs like [`sign`](Self::sign), for a caller that drops the future after the time `left`.
    ///
    /// A signer that queues, or calls a service, can fail early: it need not begin what cannot complete in
    /// time. By default `left` is ignored.
    ///
    /// # Errors
    /// As [`sign`](Self::sign).
    async fn sign_within(&self, message: &[u8], left: Duration) -> Result<Signature, SignError> {
        let _ = left;
        self.sign(message).await
    }
}

macro_rules! forward {
    ($($wrapper:ty),*) => {$(
        #[async_trait]
        impl<S: Signer + ?Sized> Signer for $wrapper {
            fn algorithm(&self) -> Algorithm {
                (**self).algorithm()
            }

            fn next_serial_no(&self) -> Option<SerialNo> {
                (**self).next_serial_no()
            }

            async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
                (**self).sign(message).await
            }

            async fn sign_within(
                &self,
                message: &[u8],
                left: Duration,
            ) -> Result<Signature, SignError> {
                (**self).sign_within(message, left).await
            }
        }
    )*};
}

forward!(&S, Arc<S>, Box<S>);
