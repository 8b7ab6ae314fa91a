//! A decryptor for a key in a key service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wxpay_auth_core::internal::fields::{ciphertext_of, text_of};
use wxpay_auth_core::{FieldDecryptError, FieldDecryptor, SecretText, SerialNo};
use zeroize::Zeroizing;

use crate::backend::KmsBackend;
use crate::builder::FoundKey;
use crate::decryptor_builder::KmsDecryptorBuilder;

/// Decrypts sensitive fields (敏感信息) with a key in a key service (KMS), which the key never leaves:
/// RSAES-OAEP with SHA-1 and MGF1 with SHA-1.
///
/// | back end | decrypts |
/// |---|---|
/// | `AwsKms` | with a key of the `KeyUsage` `ENCRYPT_DECRYPT` |
/// | `AlibabaKms` | with a key of the usage `ENCRYPT/DECRYPT` |
/// | `VaultTransit` | no: SHA-256 only |
/// | `TencentKms` | no: a key that decrypts cannot get a merchant certificate |
///
/// No key of these services both signs and decrypts. Fields are encrypted with the key of the merchant
/// certificate, which signs: import that key a second time, for decrypting.
///
/// Concurrency and time are limited, and transient failures are retried, as by a
/// [`KmsSigner`](crate::KmsSigner). The text crosses the network, protected by TLS. Clones share all
/// state. Needs a Tokio runtime with timers.
///
/// ```no_run
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod kms { pub use wxpay_auth_kms::*; } }
/// use wxpay_auth::kms::{KmsBackend, KmsDecryptor};
/// use wxpay_auth::{Certificate, FieldDecryptor};
///
/// # async fn read(
/// #     kms: impl KmsBackend,
/// #     encrypted_field: &str,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// let decryptor = KmsDecryptor::builder(kms) // an `AwsKms`, for instance
///     .certificate(Certificate::from_pem_file("apiclient_cert.pem")?)
///     .connect()
///     .await?;
/// let name = decryptor.decrypt(encrypted_field).await?;
/// # let _ = name.expose();
/// # Ok(())
/// # }
/// ```
pub struct KmsDecryptor<B> {
    found: Arc<FoundKey<B>>,
}

impl<B: KmsBackend> KmsDecryptor<B> {
    /// Returns a builder.
    pub fn builder(backend: B) -> KmsDecryptorBuilder<B> {
        KmsDecryptorBuilder::new(backend)
    }

    pub(crate) fn new(found: FoundKey<B>) -> Self {
        Self { found: Arc::new(found) }
    }

    /// Returns the serial of the merchant certificate.
    pub fn serial_no(&self) -> &SerialNo {
        &self.found.serial_no
    }

    /// Returns the version of the key that it decrypts with, if the service has versions.
    pub fn key_version(&self) -> Option<&str> {
        self.found.key.version()
    }

    /// Returns the back end.
    pub fn backend(&self) -> &B {
        &self.found.backend
    }
}

#[async_trait]
impl<B: KmsBackend> FieldDecryptor for KmsDecryptor<B> {
    async fn decrypt(&self, field: &str) -> Result<SecretText, FieldDecryptError> {
        let FoundKey { backend, key, serial_no, limiter } = &*self.found;
        let ciphertext = ciphertext_of(field, serial_no)?;
        let request = || backend.decrypt_oaep_sha1(key, &ciphertext);
        let decrypted = limiter.run_within(Duration::MAX, request).await;
        match decrypted.map_err(|error| error.of_field(serial_no))? {
            Some(plaintext) => text_of(Zeroizing::new(plaintext)),
            None => Err(FieldDecryptError::mismatch(serial_no.clone())),
        }
    }
}

impl<B> Clone for KmsDecryptor<B> {
    fn clone(&self) -> Self {
        Self { found: Arc::clone(&self.found) }
    }
}

impl<B: KmsBackend> fmt::Debug for KmsDecryptor<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsDecryptor")
            .field("serial_no", self.serial_no())
            .field("key_version", &self.key_version())
            .field("backend", self.backend())
            .finish_non_exhaustive()
    }
}
