//! The settings of a decryptor on a key service.

use std::time::Duration;

use wxpay_auth_core::internal::log;
use wxpay_auth_core::{Certificate, SerialNo};

use crate::backend::KmsBackend;
use crate::builder::{KeyUse, KmsSignerBuilder};
use crate::decryptor::KmsDecryptor;
use crate::error::KmsError;

/// Sets up a [`KmsDecryptor`]; created by [`KmsDecryptor::builder`]. The limits are those of a
/// [`KmsSignerBuilder`].
#[derive(Debug, Clone)]
#[must_use = "nothing happens until it is connected"]
pub struct KmsDecryptorBuilder<B> {
    settings: KmsSignerBuilder<B>,
}

impl<B: KmsBackend> KmsDecryptorBuilder<B> {
    pub(crate) fn new(backend: B) -> Self {
        Self { settings: KmsSignerBuilder::new(backend) }
    }

    fn with(self, change: impl FnOnce(KmsSignerBuilder<B>) -> KmsSignerBuilder<B>) -> Self {
        Self { settings: change(self.settings) }
    }

    /// Sets the merchant certificate, which must belong to the key; errors name its serial.
    pub fn certificate(self, certificate: Certificate) -> Self {
        self.with(|settings| settings.certificate(certificate))
    }

    /// Sets the serial of the merchant certificate. It cannot be checked against the key: prefer
    /// [`certificate`](Self::certificate).
    pub fn serial_no(self, serial_no: SerialNo) -> Self {
        self.with(|settings| settings.serial_no(serial_no))
    }

    /// Sets the maximum number of concurrent requests to the service: 32 by default.
    pub fn concurrency(self, concurrency: usize) -> Self {
        self.with(|settings| settings.concurrency(concurrency))
    }

    /// Sets how many fields may be queued: 256 by default.
    pub fn queue(self, queue: usize) -> Self {
        self.with(|settings| settings.queue(queue))
    }

    /// Sets the time limit of one request: 3 s by default.
    pub fn attempt_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.attempt_timeout(timeout))
    }

    /// Sets the time limit of a field, including queueing and all attempts: 10 s by default.
    pub fn decrypt_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.sign_timeout(timeout))
    }

    /// Sets the maximum number of attempts per field when the service fails or does not respond: 4 by
    /// default. Throttling does not count, as in [`KmsSignerBuilder::attempts`].
    pub fn attempts(self, attempts: u32) -> Self {
        self.with(|settings| settings.attempts(attempts))
    }

    /// Sets the time limit of connecting: 30 s by default.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.connect_timeout(timeout))
    }

    /// Connects: reads the public key, checks that the key may decrypt as far as the service says so,
    /// and compares the certificate with it.
    ///
    /// # Errors
    /// [`KmsError`], whose [`kind`](KmsError::kind) and [`hint`](KmsError::hint) say what to do; of the
    /// kind [`Unsupported`](wxpay_auth_core::SignErrorKind::Unsupported) if the key, or the service,
    /// does not decrypt.
    pub async fn connect(self) -> Result<KmsDecryptor<B>, KmsError> {
        let (found, _) = self.settings.find_key(KeyUse::Decrypt).await?;
        let decryptor = KmsDecryptor::new(found);
        log::debug!(
            serial_no = %decryptor.serial_no(),
            key_version = decryptor.key_version(),
            "connected to a key service, to decrypt"
        );
        Ok(decryptor)
    }
}
