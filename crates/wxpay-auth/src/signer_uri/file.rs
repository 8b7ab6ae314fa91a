//! `file:`

use async_trait::async_trait;
use wxpay_auth_core::internal::FileSource;
use wxpay_auth_core::internal::remote::SerialSource;
use wxpay_auth_core::{Backend, FileKeySigner, PrivateKey};

use super::Address;
use super::error::SignerUriError;
use super::parameters::{Parameters, decoded, is_path};
use super::signer::UriSigner;

/// `file:/path/apiclient_key.pem`, `file:///path/…`, `file:relative/path`, `file:credential:name`.
pub(super) struct FileAddress {
    file: FileSource,
    backend: Backend,
}

impl FileAddress {
    pub(super) fn new(path: &str) -> Self {
        Self { file: FileSource::parse(path.to_owned()), backend: Backend::Ring }
    }

    pub(super) fn parse(path: &str, parameters: &mut Parameters) -> Result<Self, SignerUriError> {
        let path = decoded(path.strip_prefix("//").unwrap_or(path))
            .filter(|path| is_path(path))
            .ok_or(SignerUriError::Key { problem: "write file:PATH, percent-encoded" })?;
        let backend = match parameters.take("backend")?.as_deref() {
            None | Some("ring") => Backend::Ring,
            #[cfg(feature = "aws-lc-rs")]
            Some("aws-lc-rs") => Backend::AwsLcRs,
            #[cfg(not(feature = "aws-lc-rs"))]
            Some("aws-lc-rs") => {
                return Err(SignerUriError::NotCompiledIn { scheme: "file", feature: "aws-lc-rs" });
            }
            Some(_) => {
                let problem = "is neither ring nor aws-lc-rs";
                return Err(SignerUriError::Value { parameter: "backend", problem });
            }
        };
        Ok(Self { file: FileSource::parse(path), backend })
    }
}

#[async_trait]
impl Address for FileAddress {
    async fn connect(&self, merchant: Option<SerialSource>) -> Result<UriSigner, SignerUriError> {
        let key = PrivateKey::from_pem_file_with(self.backend, self.file.path()?)?;
        let public_key = key.public_key().clone();
        let merchant = merchant.ok_or(SignerUriError::NoCertificate)?;
        let serial_no = merchant.serial_no_for(&public_key)?;
        let signer = FileKeySigner::new(key, serial_no);
        Ok(UriSigner::new(public_key, signer))
    }
}
