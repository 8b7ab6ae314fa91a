//! A signer whose key was read from a file.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::file_key::signing_pool::SigningPool;
use crate::keys::{Certificate, KeyError, PrivateKey};
use crate::serial_no::SerialNo;
use crate::signer::{Algorithm, SignError, SignErrorKind, Signature, Signer};

/// Signs with a private key held by this process.
///
/// A signature takes 0.3 to 0.8 ms of CPU time. A single caller computes it inline; when several sign at
/// once, the work moves to threads of this library, at most one per core, so that the runtime stays
/// responsive; abandoned signatures are not computed. A blocked runtime, or a forked process, does not
/// delay others. Outside of a Tokio runtime, signatures are always computed inline.
///
/// Clones share the key.
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::{Certificate, FileKeySigner, PrivateKey};
///
/// # let key_pem = include_str!("../../testdata/keys/merchant_private_key.pem");
/// # let certificate_pem = include_str!("../../testdata/keys/merchant_certificate.pem");
/// // The serial is read from the certificate, which must belong to the key …
/// let signer = FileKeySigner::with_certificate(
///     PrivateKey::from_pem(key_pem)?,
///     &Certificate::from_pem(certificate_pem)?,
/// )?;
/// assert_eq!(signer.serial_no().as_str(), "5F1C72E2A8931B72A2E13AF8DEE92471EB397115");
///
/// // … or given.
/// let serial_no = "5F1C72E2A8931B72A2E13AF8DEE92471EB397115".parse()?;
/// let signer = FileKeySigner::new(PrivateKey::from_pem(key_pem)?, serial_no);
/// # let _ = signer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FileKeySigner {
    key: Arc<PrivateKey>,
    serial_no: SerialNo,
}

impl FileKeySigner {
    /// Combines a key with the serial of its merchant certificate.
    ///
    /// Whether the two belong together cannot be checked here: if the certificate is available, prefer
    /// [`FileKeySigner::with_certificate`].
    pub fn new(key: PrivateKey, serial_no: SerialNo) -> Self {
        Self { key: Arc::new(key), serial_no }
    }

    /// Combines a key with its merchant certificate, and reads the serial from it.
    ///
    /// # Errors
    /// [`KeyError::CertificateMismatch`] if the certificate belongs to another key.
    pub fn with_certificate(key: PrivateKey, certificate: &Certificate) -> Result<Self, KeyError> {
        certificate.require_key(key.public_key())?;
        Ok(Self::new(key, certificate.serial_no().clone()))
    }

    /// Uses a key that has no certificate yet, to sign a
    /// [`CertificateRequest`](crate::CertificateRequest). Its signatures are valid for nothing else: a
    /// client refuses to send them.
    pub fn without_certificate(key: PrivateKey) -> Self {
        Self::new(key, SerialNo::uncertified())
    }

    /// Reads the key from a PEM file, for use with `ring`. Blocking: call it at startup.
    ///
    /// # Errors
    /// As [`PrivateKey::from_pem_file`].
    pub fn from_pem_file(path: impl AsRef<Path>, serial_no: SerialNo) -> Result<Self, KeyError> {
        Ok(Self::new(PrivateKey::from_pem_file(path)?, serial_no))
    }

    /// Returns the serial of the merchant certificate.
    pub fn serial_no(&self) -> &SerialNo {
        &self.serial_no
    }

    /// Returns the key.
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    async fn compute(&self, message: &[u8]) -> Result<Signature, SignError> {
        let bytes = match SigningPool::shared().enter() {
            Ok(turn) => {
                let bytes = self.key.sign(message);
                turn.done();
                bytes?
            }
            Err(queue) => {
                let (key, message) = (Arc::clone(&self.key), message.to_vec());
                queue.run(move || key.sign(&message)).await.map_err(|e| {
                    SignError::new(SignErrorKind::Other, "the computation did not complete")
                        .with_source(e)
                })??
            }
        };
        Ok(Signature::new(self.serial_no.clone(), bytes))
    }
}

#[async_trait]
impl Signer for FileKeySigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Sha256Rsa2048
    }

    fn next_serial_no(&self) -> Option<SerialNo> {
        Some(self.serial_no.clone())
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        self.compute(message).await
    }

    // Same as the default, with one boxed future less.
    async fn sign_within(&self, message: &[u8], _: Duration) -> Result<Signature, SignError> {
        self.compute(message).await
    }
}

impl fmt::Debug for FileKeySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileKeySigner")
            .field("serial_no", &self.serial_no)
            .field("backend", &self.key.backend())
            .finish_non_exhaustive()
    }
}
