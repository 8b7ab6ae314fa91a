//! What the addresses of key services share.

use std::sync::Arc;

use super::error::SignerUriError;
use super::merchant::Merchant;
use super::parameters::{Parameters, decoded};
use crate::kms::{KmsBackend, KmsSigner};
use crate::signer::Signer;

/// What is to be known of a signer, whatever the service.
pub(super) struct KmsSettings {
    concurrency: Option<usize>,
}

impl KmsSettings {
    pub(super) fn take(parameters: &mut Parameters) -> Result<Self, SignerUriError> {
        let concurrency = parameters.take_parsed("concurrency", "is not a number")?;
        Ok(Self { concurrency })
    }

    pub(super) async fn connect<B: KmsBackend + 'static>(
        &self,
        backend: B,
        merchant: Option<Merchant>,
    ) -> Result<Arc<dyn Signer>, SignerUriError> {
        let mut builder = KmsSigner::builder(backend);
        if let Some(concurrency) = self.concurrency {
            builder = builder.concurrency(concurrency);
        }
        builder = match merchant.ok_or(SignerUriError::NoCertificate)? {
            Merchant::Certificate(certificate) => builder.certificate(certificate),
            Merchant::SerialNo(serial_no) => builder.serial_no(serial_no),
        };
        Ok(Arc::new(builder.connect().await?))
    }
}

/// Reads the name of a key.
pub(super) fn key(raw: &str) -> Result<String, SignerUriError> {
    decoded(raw)
        .filter(|key| !key.is_empty())
        .ok_or(SignerUriError::Key { problem: "write its name or id there, percent-encoded" })
}
