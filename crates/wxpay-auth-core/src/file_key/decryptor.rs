//! Decrypts fields with a key that was read from a file.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::file_key::signing_pool::SigningPool;
use crate::keys::oaep::OaepPrivateKey;
use crate::keys::{Backend, Certificate, KeyError, PrivateKey};
use crate::sensitive::{FieldDecryptError, FieldDecryptor, SecretText, ciphertext_of, text_of};
use crate::serial_no::SerialNo;
use crate::signer::SignErrorKind;

/// Decrypts sensitive fields (敏感信息) with a private key held by this process, on `aws-lc-rs`.
///
/// It takes as long as a signature, and is computed like one: inline for a single caller, otherwise on the threads
/// that also compute the signatures of [`FileKeySigner`](crate::FileKeySigner). Clones share the key.
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::{Backend, Certificate, FieldDecryptor, FileKeyDecryptor, PrivateKey};
///
/// # async fn read(encrypted_field: &str) -> Result<(), Box<dyn std::error::Error>> {
/// # let key_pem = include_str!("../../testdata/keys/merchant_private_key.pem");
/// # let certificate_pem = include_str!("../../testdata/keys/merchant_certificate.pem");
/// let key = PrivateKey::from_pem_with(Backend::AwsLcRs, key_pem)?;
/// let decryptor =
///     FileKeyDecryptor::with_certificate(&key, &Certificate::from_pem(certificate_pem)?)?;
/// let name = decryptor.decrypt(encrypted_field).await?;
/// println!("a name of {} characters", name.expose().chars().count());
/// # Ok(())
/// # }
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(read("no Base64")).unwrap_err();
/// ```
#[derive(Clone)]
pub struct FileKeyDecryptor {
    key: Arc<OaepPrivateKey>,
    serial_no: SerialNo,
}

impl FileKeyDecryptor {
    /// Combines a key with the serial of its merchant certificate, which errors name. If the certificate is
    /// available, prefer [`with_certificate`](Self::with_certificate).
    ///
    /// # Errors
    /// [`KeyError::CannotDecrypt`] if the key was not read for [`Backend::AwsLcRs`].
    pub fn new(key: &PrivateKey, serial_no: SerialNo) -> Result<Self, KeyError> {
        Ok(Self { key: Arc::new(key.to_oaep()?), serial_no })
    }

    /// Combines a key with its merchant certificate.
    ///
    /// # Errors
    /// [`KeyError::CertificateMismatch`] if the certificate belongs to another key, and
    /// [`KeyError::CannotDecrypt`] if the key was not read for [`Backend::AwsLcRs`].
    pub fn with_certificate(key: &PrivateKey, certificate: &Certificate) -> Result<Self, KeyError> {
        certificate.require_key(key.public_key())?;
        Self::new(key, certificate.serial_no().clone())
    }

    /// Reads the key from a PEM file. Blocking: call it at startup.
    ///
    /// # Errors
    /// As [`PrivateKey::from_pem_file`].
    pub fn from_pem_file(path: impl AsRef<Path>, serial_no: SerialNo) -> Result<Self, KeyError> {
        Self::new(&PrivateKey::from_pem_file_with(Backend::AwsLcRs, path)?, serial_no)
    }

    /// Returns the serial of the merchant certificate.
    pub fn serial_no(&self) -> &SerialNo {
        &self.serial_no
    }
}

#[async_trait]
impl FieldDecryptor for FileKeyDecryptor {
    async fn decrypt(&self, field: &str) -> Result<SecretText, FieldDecryptError> {
        let ciphertext = ciphertext_of(field, &self.serial_no)?;
        let decrypted = match SigningPool::shared().enter() {
            Ok(turn) => {
                let decrypted = self.key.decrypt(&ciphertext);
                turn.done();
                decrypted
            }
            Err(queue) => {
                let key = Arc::clone(&self.key);
                queue.run(move || key.decrypt(&ciphertext)).await.map_err(|e| {
                    FieldDecryptError::unavailable(
                        SignErrorKind::Other,
                        "report it: the computation panicked",
                        e,
                    )
                })?
            }
        };
        text_of(decrypted.ok_or_else(|| FieldDecryptError::mismatch(self.serial_no.clone()))?)
    }
}

impl fmt::Debug for FileKeyDecryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKeyDecryptor")
            .field("serial_no", &self.serial_no)
            .finish_non_exhaustive()
    }
}
