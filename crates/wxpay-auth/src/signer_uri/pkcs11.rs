//! `pkcs11:`

use async_trait::async_trait;
use wxpay_auth_core::internal::remote::SerialSource;

use super::Address;
use super::error::SignerUriError;
use super::parameters::Parameters;
use super::signer::UriSigner;
use crate::pkcs11::{Pkcs11Error, Pkcs11Mechanism, Pkcs11Signer, Pkcs11Uri};

/// An RFC 7512 URI, with a few additional parameters.
pub(super) struct Pkcs11Address {
    uri: Pkcs11Uri,
    sessions: Option<usize>,
    mechanism: Pkcs11Mechanism,
}

impl Pkcs11Address {
    pub(super) fn parse(path: &str, parameters: &mut Parameters) -> Result<Self, SignerUriError> {
        let sessions = parameters.take_parsed("sessions", "is not a number")?;
        let mechanism = match parameters.take("mechanism")?.as_deref() {
            None | Some("CKM_RSA_PKCS") => Pkcs11Mechanism::RsaPkcs,
            Some("CKM_SHA256_RSA_PKCS") => Pkcs11Mechanism::Sha256RsaPkcs,
            Some(_) => {
                let problem = "is neither CKM_RSA_PKCS nor CKM_SHA256_RSA_PKCS";
                return Err(SignerUriError::Value { parameter: "mechanism", problem });
            }
        };
        let uri = format!("pkcs11:{path}?{}", parameters.take_rest());
        let uri = uri.parse().map_err(Pkcs11Error::Uri)?;
        Ok(Self { uri, sessions, mechanism })
    }
}

#[async_trait]
impl Address for Pkcs11Address {
    async fn connect(&self, merchant: Option<SerialSource>) -> Result<UriSigner, SignerUriError> {
        let mut builder = Pkcs11Signer::builder(self.uri.clone()).mechanism(self.mechanism);
        if let Some(sessions) = self.sessions {
            builder = builder.sessions(sessions);
        }
        builder = match merchant {
            Some(SerialSource::Certificate(certificate)) => builder.certificate(certificate),
            Some(SerialSource::Given(serial_no)) => builder.serial_no(serial_no),
            None => builder,
        };
        let signer = builder.connect().await?;
        Ok(UriSigner::new(signer.public_key().clone(), signer))
    }
}
