//! The interface to a key service.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use wxpay_auth_core::{PublicKey, SignErrorKind};

use crate::error::KmsError;

/// A back end for one key in a key service. [`KmsSigner`](super::KmsSigner) does the rest: hashing,
/// limits, retries, padding and verification.
///
/// Implement it for a service that is not supported here:
///
/// ```
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod kms { pub use wxpay_auth_kms::*; } }
/// use wxpay_auth::kms::{KmsBackend, KmsError, KmsKey};
/// use wxpay_auth::{PublicKey, SignErrorKind, async_trait};
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
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `KmsBackend`",
    label = "expected `VaultTransit`, `TencentKms`, `AlibabaKms`, `AwsKms`, or a back end of your own",
    note = "implementations begin with `#[async_trait]` (`wxpay_auth::async_trait`); the type is also `Debug + Send + Sync`"
)]
#[async_trait]
pub trait KmsBackend: fmt::Debug + Send + Sync {
    /// Returns the public key and its version. Sends one request, without retries.
    ///
    /// # Errors
    /// [`KmsError`], whose kind decides whether the signer retries.
    async fn public_key(&self) -> Result<KmsKey, KmsError>;

    /// Signs a SHA-256 digest (RSASSA-PKCS1-v1_5) with the version of the key that
    /// [`public_key`](Self::public_key) has returned. Sends one request, without retries. The
    /// signer pads and verifies the signature.
    ///
    /// # Errors
    /// [`KmsError`], whose kind decides whether the signer retries.
    async fn sign_sha256(&self, key: &KmsKey, digest: &[u8; 32]) -> Result<Vec<u8>, KmsError>;

    /// Returns the public key and its version, if the key may decrypt. Sends one request, without
    /// retries. For [`KmsDecryptor`](super::KmsDecryptor).
    ///
    /// # Errors
    /// [`KmsError`], whose kind decides whether the decryptor retries: of the kind
    /// [`Unsupported`](SignErrorKind::Unsupported) if the key, or the service, does not decrypt. So
    /// does the default.
    async fn decryption_key(&self) -> Result<KmsKey, KmsError> {
        Err(does_not_decrypt("this key service does not decrypt sensitive fields"))
    }

    /// Decrypts a field (RSAES-OAEP with SHA-1 and MGF1 with SHA-1, no label) with the version of the
    /// key that [`decryption_key`](Self::decryption_key) has returned; `None` if the service says that
    /// the field does not decrypt. Sends one request, without retries. The decryptor zeroes the
    /// plaintext.
    ///
    /// # Errors
    /// [`KmsError`], whose kind decides whether the decryptor retries. The default is of the kind
    /// [`Unsupported`](SignErrorKind::Unsupported).
    async fn decrypt_oaep_sha1(
        &self,
        key: &KmsKey,
        ciphertext: &[u8],
    ) -> Result<Option<Vec<u8>>, KmsError> {
        let _ = (key, ciphertext);
        Err(does_not_decrypt("this key service does not decrypt sensitive fields"))
    }
}

/// Returns the error of a service that does not decrypt.
pub(crate) fn does_not_decrypt(message: &str) -> KmsError {
    KmsError::new(SignErrorKind::Unsupported, message).with_hint(
        "decrypt with a key in an HSM (Pkcs11Signer::decryptor), in AWS KMS or Alibaba Cloud KMS, or in a \
         file (FileKeyDecryptor): docs/kms.md says how",
    )
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

            async fn decryption_key(&self) -> Result<KmsKey, KmsError> {
                (**self).decryption_key().await
            }

            async fn decrypt_oaep_sha1(
                &self,
                key: &KmsKey,
                ciphertext: &[u8],
            ) -> Result<Option<Vec<u8>>, KmsError> {
                (**self).decrypt_oaep_sha1(key, ciphertext).await
            }
        }
    )+};
}

forward!(Arc<B>, Box<B>, &B);

/// The public key of a key in a key service, and its version.
///
/// A signer keeps it with the serial of the merchant certificate, so that a rotation in the key
/// service never combines a new key with an old serial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsKey {
    public_key: PublicKey,
    version: Option<String>,
}

impl KmsKey {
    /// Creates one for a service whose keys have no versions.
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

    /// Returns the version, if the service has versions.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }
}
