//! What a key service must be able to do.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use wxpay_auth_core::PublicKey;

use crate::error::KmsError;

/// Talks to one key service about one key. [`KmsSigner`](super::KmsSigner) does the rest: it hashes,
/// bounds, retries, pads and verifies.
///
/// Write one for a service that has none here:
///
/// ```
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod kms { pub use wxpay_auth_kms::*; } }
/// use async_trait::async_trait;
/// use wxpay_auth::kms::{KmsBackend, KmsError, KmsKey};
/// use wxpay_auth::{PublicKey, SignErrorKind};
///
/// #[derive(Debug)]
/// struct OurVault;
///
/// #[async_trait]
/// impl KmsBackend for OurVault {
///     async fn public_key(&self) -> Result<KmsKey, KmsError> {
///         let (pem, version) = ("-----BEGIN PUBLIC KEY-----\n…", "3"); // ask the service
///         Ok(KmsKey::new(PublicKey::from_pem(pem)?).with_version(version))
///     }
///
///     async fn sign_sha256(&self, key: &KmsKey, _digest: &[u8; 32]) -> Result<Vec<u8>, KmsError> {
///         let _version = key.version(); // sign with this one, not with the latest
///         Err(KmsError::new(SignErrorKind::Throttled, "our vault is busy").with_code("E42"))
///     }
/// }
/// ```
#[async_trait]
pub trait KmsBackend: fmt::Debug + Send + Sync {
    /// Reads the public key, and which version of the key it belongs to. Makes one request, and does
    /// not retry.
    ///
    /// # Errors
    /// [`KmsError`], whose kind decides whether it is tried again.
    async fn public_key(&self) -> Result<KmsKey, KmsError>;

    /// Signs a SHA-256 digest (RSASSA-PKCS1-v1_5) with the version of the key that
    /// [`public_key`](Self::public_key) has returned. Makes one request, and does not retry. The
    /// signature need not be padded or verified.
    ///
    /// # Errors
    /// [`KmsError`], whose kind decides whether it is tried again.
    async fn sign_sha256(&self, key: &KmsKey, digest: &[u8; 32]) -> Result<Vec<u8>, KmsError>;
}

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        #[async_trait]
        impl<B: KmsBackend + ?Sized> KmsBackend for $pointer {
            async fn public_key(&self) -> Result<KmsKey, KmsError> {
                (**self).public_key().await
            }

            async fn sign_sha256(
                &self,
                key: &KmsKey,
                digest: &[u8; 32],
            ) -> Result<Vec<u8>, KmsError> {
                (**self).sign_sha256(key, digest).await
            }
        }
    )+};
}

forward!(Arc<B>, Box<B>, &B);

/// Holds the public key of a key in a key service, and which version of the key it belongs to.
///
/// A signer keeps it with the serial of the merchant certificate, so that a rotation in the key
/// service never pairs a new key with an old serial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsKey {
    public_key: PublicKey,
    version: Option<String>,
}

impl KmsKey {
    /// Takes the public key of a service whose keys have no versions.
    pub fn new(public_key: PublicKey) -> Self {
        Self { public_key, version: None }
    }

    /// Adds the version, as the service writes it.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Returns the public key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Returns the version, where the service has versions.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}
