//! The common parts of key service addresses.

#[cfg(feature = "_http")]
use wxpay_auth_core::internal::FileSource;
use wxpay_auth_core::internal::remote::SerialSource;

use super::error::SignerUriError;
use super::parameters::{Parameters, decoded};
use super::signer::UriSigner;
#[cfg(feature = "_http")]
use crate::kms::KmsTls;
#[cfg(any(feature = "_access-key", feature = "kms-aws-config"))]
use crate::kms::internal::is_region;
use crate::kms::{KmsBackend, KmsSigner};

/// Settings of every key service.
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
        merchant: Option<SerialSource>,
    ) -> Result<UriSigner, SignerUriError> {
        let mut builder = KmsSigner::builder(backend);
        if let Some(concurrency) = self.concurrency {
            builder = builder.concurrency(concurrency);
        }
        builder = match merchant.ok_or(SignerUriError::NoCertificate)? {
            SerialSource::Certificate(certificate) => builder.certificate(certificate),
            SerialSource::Given(serial_no) => builder.serial_no(serial_no),
        };
        let signer = builder.connect().await?;
        Ok(UriSigner::new(signer.public_key().clone(), signer))
    }
}

/// Trusted roots and client certificate: `ca`, `client_certificate` and `client_key` are PEM files.
#[cfg(feature = "_http")]
pub(super) struct TlsFiles {
    ca: Option<FileSource>,
    /// The certificate chain, and its key.
    client: Option<(FileSource, FileSource)>,
}

#[cfg(feature = "_http")]
impl TlsFiles {
    pub(super) fn take(parameters: &mut Parameters) -> Result<Self, SignerUriError> {
        let ca = parameters.take_file("ca")?;
        let chain = parameters.take_file("client_certificate")?;
        let client = match (chain, parameters.take_file("client_key")?) {
            (Some(chain), Some(key)) => Some((chain, key)),
            (None, None) => None,
            (Some(_), None) => return Err(SignerUriError::Missing { parameter: "client_key" }),
            (None, Some(_)) => {
                return Err(SignerUriError::Without {
                    parameter: "client_key",
                    needed: "client_certificate",
                });
            }
        };
        Ok(Self { ca, client })
    }

    /// Reads the files.
    pub(super) fn read(&self) -> Result<KmsTls, SignerUriError> {
        let mut tls = KmsTls::new();
        if let Some(ca) = &self.ca {
            tls = tls.ca_pem_file(ca.path()?)?;
        }
        if let Some((chain, key)) = &self.client {
            tls = tls.client_certificate_pem_files(chain.path()?, key.path()?)?;
        }
        Ok(tls)
    }
}

/// Decodes the name of a key.
pub(super) fn key(raw: &str) -> Result<String, SignerUriError> {
    decoded(raw)
        .filter(|key| !key.is_empty())
        .ok_or(SignerUriError::Key { problem: "write its name or id there, percent-encoded" })
}

/// Checks the name of a region, which becomes a part of a host name and must not end it.
#[cfg(any(feature = "_access-key", feature = "kms-aws-config"))]
pub(super) fn region(region: String) -> Result<String, SignerUriError> {
    let problem = "is empty, or has other characters than letters, digits and -";
    if is_region(&region) {
        return Ok(region);
    }
    Err(SignerUriError::Value { parameter: "region", problem })
}
