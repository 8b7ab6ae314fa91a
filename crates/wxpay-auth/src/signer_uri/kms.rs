//! What the addresses of key services share.

use std::sync::Arc;

use super::error::SignerUriError;
use super::merchant::Merchant;
use super::parameters::{Parameters, decoded};
#[cfg(feature = "_http")]
use crate::kms::KmsTls;
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

/// Reads whom to trust, and who this end is: `ca`, `client_certificate` and `client_key` are paths.
#[cfg(feature = "_http")]
pub(super) fn tls(parameters: &mut Parameters) -> Result<Option<KmsTls>, SignerUriError> {
    let mut tls = None;
    if let Some(path) = parameters.take("ca")? {
        tls = Some(KmsTls::new().ca_pem_file(path)?);
    }
    if let Some(chain) = parameters.take("client_certificate")? {
        let key = parameters.needed("client_key")?;
        tls = Some(tls.unwrap_or_default().client_certificate_pem_files(chain, key)?);
    }
    Ok(tls)
}

/// Reads the name of a key.
pub(super) fn key(raw: &str) -> Result<String, SignerUriError> {
    decoded(raw)
        .filter(|key| !key.is_empty())
        .ok_or(SignerUriError::Key { problem: "write its name or id there, percent-encoded" })
}
