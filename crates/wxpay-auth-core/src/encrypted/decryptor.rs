//! The seam for what holds the APIv3 key.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::encrypted::encrypted_resource::EncryptedResource;
use crate::encrypted::error::DecryptError;

/// Decrypts resources with an APIv3 key: in memory ([`ApiV3Key`](crate::ApiV3Key)), or in a key service or HSM of
/// yours. Implemented for `&D`, `Arc<D>` and `Box<D>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `ResourceDecryptor`",
    label = "expected an `ApiV3Key`, an `Arc<dyn ResourceDecryptor>`, or a decryptor of your own",
    note = "implementations begin with `#[async_trait]` (`wxpay_auth::async_trait`); the type is also `Debug + Send + Sync`"
)]
#[async_trait]
pub trait ResourceDecryptor: fmt::Debug + Send + Sync {
    /// Decrypts a resource, and checks its tag.
    ///
    /// # Errors
    /// [`DecryptError`].
    async fn decrypt(&self, resource: &EncryptedResource<'_>) -> Result<Vec<u8>, DecryptError>;
}

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        #[async_trait]
        impl<D: ResourceDecryptor + ?Sized> ResourceDecryptor for $pointer {
            async fn decrypt(
                &self,
                resource: &EncryptedResource<'_>,
            ) -> Result<Vec<u8>, DecryptError> {
                (**self).decrypt(resource).await
            }
        }
    )+};
}

forward!(&D, Arc<D>, Box<D>);
