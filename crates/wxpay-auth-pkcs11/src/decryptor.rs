//! A decryptor for a key in a PKCS#11 token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wxpay_auth_core::internal::fields::{ciphertext_of, text_of};
use wxpay_auth_core::{FieldDecryptError, FieldDecryptor, SecretText, SerialNo};

use crate::worker::Workers;

/// Decrypts sensitive fields (敏感信息) with a private key in a PKCS#11 token (an HSM), which the key never leaves:
/// `CKM_RSA_PKCS_OAEP` with SHA-1 and MGF1 with SHA-1.
///
/// It belongs to a [`Pkcs11Signer`](crate::Pkcs11Signer): the same key, threads, sessions, queue and recovery. The
/// text leaves the token as it is, and is zeroed in this process when it is dropped.
///
/// A field that was encrypted for another key fails with
/// [`FieldDecryptError::Mismatch`]; nothing of the token is restarted for it.
///
/// ```no_run
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod pkcs11 { pub use wxpay_auth_pkcs11::*; } }
/// use wxpay_auth::FieldDecryptor;
/// use wxpay_auth::pkcs11::Pkcs11Signer;
///
/// # async fn read(encrypted_field: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let signer = Pkcs11Signer::connect(
///     "pkcs11:token=wxpay;object=merchant\
///         ?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/secrets/hsm_pin",
/// )
/// .await?;
/// let decryptor = signer.decryptor()?;
/// let name = decryptor.decrypt(encrypted_field).await?;
/// # let _ = name.expose();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pkcs11Decryptor {
    workers: Arc<Workers>,
    serial_no: SerialNo,
    timeout: Duration,
}

impl Pkcs11Decryptor {
    pub(crate) fn new(workers: Arc<Workers>, serial_no: SerialNo, timeout: Duration) -> Self {
        Self { workers, serial_no, timeout }
    }

    /// Returns the serial of the merchant certificate.
    pub fn serial_no(&self) -> &SerialNo {
        &self.serial_no
    }
}

#[async_trait]
impl FieldDecryptor for Pkcs11Decryptor {
    async fn decrypt(&self, field: &str) -> Result<SecretText, FieldDecryptError> {
        let ciphertext = ciphertext_of(field, &self.serial_no)?;
        let decrypted = self.workers.decrypt(ciphertext, self.timeout).await;
        text_of(decrypted.map_err(|error| error.of_field(&self.serial_no))?)
    }
}

impl fmt::Debug for Pkcs11Decryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Decryptor")
            .field("serial_no", &self.serial_no)
            .finish_non_exhaustive()
    }
}
