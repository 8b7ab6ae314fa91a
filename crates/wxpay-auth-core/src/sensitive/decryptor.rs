//! The interface to the merchant's key, for fields.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::sensitive::{FieldDecryptError, SecretText};

/// Decrypts sensitive fields (敏感信息) of responses and notifications with the merchant's private key: RSAES-OAEP
/// with SHA-1 and MGF1 with SHA-1, no label.
///
/// The key may be in a file (`FileKeyDecryptor`, features `file-key` and `aws-lc-rs`), in a token
/// (`Pkcs11Decryptor`), or in a key service (`KmsDecryptor`). The trait is object safe, and implemented for `&D`,
/// `Arc<D>` and `Box<D>`.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4013059060>
///
/// # Example
/// A key that a service of the company holds:
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::{FieldDecryptError, FieldDecryptor, SecretText, SignErrorKind, async_trait};
///
/// #[derive(Debug)]
/// struct KeyService;
///
/// # impl KeyService {
/// #     async fn request(&self, _field: &str) -> Result<String, std::io::Error> {
/// #         Err(std::io::ErrorKind::ConnectionRefused.into())
/// #     }
/// # }
/// #[async_trait]
/// impl FieldDecryptor for KeyService {
///     async fn decrypt(&self, field: &str) -> Result<SecretText, FieldDecryptError> {
///         let text = self.request(field).await.map_err(|e| {
///             let kind = SignErrorKind::Unavailable;
///             FieldDecryptError::unavailable(kind, "check that the key service runs", e)
///         })?;
///         Ok(SecretText::new(text))
///     }
/// }
/// # let decryptor: std::sync::Arc<dyn FieldDecryptor> = std::sync::Arc::new(KeyService);
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # assert!(runtime.block_on(decryptor.decrypt("…")).unwrap_err().is_transient());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `FieldDecryptor`",
    label = "expected a `FileKeyDecryptor`, a `Pkcs11Decryptor`, a `KmsDecryptor`, an `Arc<dyn FieldDecryptor>`, or a decryptor of your own",
    note = "implementations begin with `#[async_trait]` (`wxpay_auth::async_trait`); the type is also `Debug + Send + Sync`"
)]
#[async_trait]
pub trait FieldDecryptor: fmt::Debug + Send + Sync {
    /// Decrypts a field, given in Base64 as it is in the JSON.
    ///
    /// Dropping the future abandons it; it must leave the decryptor usable.
    ///
    /// # Errors
    /// [`FieldDecryptError`].
    async fn decrypt(&self, field: &str) -> Result<SecretText, FieldDecryptError>;
}

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        #[async_trait]
        impl<D: FieldDecryptor + ?Sized> FieldDecryptor for $pointer {
            async fn decrypt(&self, field: &str) -> Result<SecretText, FieldDecryptError> {
                (**self).decrypt(field).await
            }
        }
    )+};
}

forward!(&D, Arc<D>, Box<D>);
