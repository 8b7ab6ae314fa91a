//! TLS to a key service.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_native_certs::CertificateResult;
use wxpay_auth_core::internal::files;

use crate::error::KmsError;

/// The certificates to trust in a TLS connection, and the client certificate to present.
///
/// By default it trusts the root certificates of the platform, or those of Mozilla if the platform
/// has none, and presents no certificate. TLS 1.2 and 1.3, with `ring`.
#[derive(Clone, Default)]
pub struct KmsTls {
    ca: Option<Vec<CertificateDer<'static>>>,
    client: Option<Arc<Client>>,
}

struct Client {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl KmsTls {
    /// Returns the default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts no certificate and reads none from the platform, for services over plain HTTP.
    #[cfg(feature = "_access-key")]
    pub(crate) fn trusting_nobody() -> Self {
        Self { ca: Some(Vec::new()), client: None }
    }

    /// Trusts the certificates of a PEM text, and no others.
    ///
    /// # Errors
    /// [`KmsError`] if it contains no certificate, or a damaged one.
    pub fn ca_pem(mut self, pem: impl AsRef<[u8]>) -> Result<Self, KmsError> {
        self.ca = Some(certificates(pem.as_ref(), "the CA")?);
        Ok(self)
    }

    /// Trusts the certificates of a PEM file, and no others. It blocks: call it at start-up.
    ///
    /// # Errors
    /// As [`ca_pem`](Self::ca_pem), and if the file cannot be read.
    pub fn ca_pem_file(self, path: impl AsRef<Path>) -> Result<Self, KmsError> {
        self.ca_pem(&*files::read(path.as_ref())?)
    }

    /// Presents a client certificate to the service (mTLS): the chain, client certificate first,
    /// and its private key, both in PEM.
    ///
    /// # Errors
    /// [`KmsError`] if either is missing or damaged.
    pub fn client_certificate_pem(
        mut self,
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, KmsError> {
        let chain = certificates(chain.as_ref(), "the client certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key.as_ref()).map_err(|_| {
            KmsError::setting(
                "there is no private key for the client certificate",
                "give an unencrypted private key in PEM: PKCS#8, PKCS#1 or SEC 1",
            )
        })?;
        self.client = Some(Arc::new(Client { chain, key }));
        Ok(self)
    }

    /// Presents a client certificate from PEM files; see
    /// [`client_certificate_pem`](Self::client_certificate_pem). It blocks: call it at start-up.
    ///
    /// # Errors
    /// As [`client_certificate_pem`](Self::client_certificate_pem), and if a file cannot be read.
    pub fn client_certificate_pem_files(
        self,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, KmsError> {
        let (chain, key_pem) = (files::read(chain.as_ref())?, files::read(key.as_ref())?);
        files::warn_if_exposed(key.as_ref(), "this private key");
        self.client_certificate_pem(&*chain, &*key_pem)
    }

    pub(crate) fn config(&self) -> Result<ClientConfig, KmsError> {
        let wrong = |error: rustls::Error, hint| {
            KmsError::setting("the TLS settings cannot be used", hint).with_source(error)
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| wrong(e, "report it"))?
            .with_root_certificates(self.roots()?);
        match self.client.as_deref() {
            None => Ok(config.with_no_client_auth()),
            Some(Client { chain, key }) => config
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|e| wrong(e, "check that certificate and key belong together")),
        }
    }

    fn roots(&self) -> Result<RootCertStore, KmsError> {
        let mut roots = RootCertStore::empty();
        let Some(ca) = &self.ca else {
            return of_platform(rustls_native_certs::load_native_certs());
        };
        for certificate in ca {
            roots.add(certificate.clone()).map_err(|e| {
                KmsError::setting("the CA cannot be used", "give X.509 certificates of version 3")
                    .with_source(e)
            })?;
        }
        Ok(roots)
    }
}

/// Returns the platform's roots. Those of Mozilla stand in for a platform without roots, not for roots that cannot be
/// read: these may be there to trust fewer servers.
fn of_platform(native: CertificateResult) -> Result<RootCertStore, KmsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(native.certs);
    match native.errors.into_iter().next() {
        Some(error) if roots.is_empty() => {
            let hint = "let the process read them, or give the CA of the service";
            return Err(
                KmsError::setting("the platform's roots cannot be read", hint).with_source(error)
            );
        }
        None if roots.is_empty() => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        _ => {}
    }
    Ok(roots)
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, KmsError> {
    let wrong = || {
        KmsError::setting(
            format!("{what} is not a certificate in PEM"),
            "give one or several blocks of -----BEGIN CERTIFICATE-----",
        )
    };
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = parsed.map_err(|_| wrong())?;
    if certificates.is_empty() { Err(wrong()) } else { Ok(certificates) }
}

impl std::fmt::Debug for KmsTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KmsTls")
            .field("own_ca", &self.ca.is_some())
            .field("client_certificate", &self.client.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = include_str!("../../testdata/keys/merchant_certificate.pem");
    const KEY: &str = include_str!("../../testdata/keys/merchant_private_key.pem");

    #[test]
    fn what_cannot_be_used_is_said_at_once() {
        for no_certificate in ["", KEY, "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"]
        {
            KmsTls::new().ca_pem(no_certificate).unwrap_err();
            KmsTls::new().client_certificate_pem(no_certificate, KEY).unwrap_err();
        }
        KmsTls::new().client_certificate_pem(CERTIFICATE, CERTIFICATE).unwrap_err();
        let both = KmsTls::new().client_certificate_pem(CERTIFICATE, KEY).unwrap();
        both.config().unwrap();
        KmsTls::new().config().unwrap();
        assert_eq!(format!("{both:?}"), "KmsTls { own_ca: false, client_certificate: true }");
    }

    #[test]
    fn an_own_ca_is_trusted_alone() {
        let roots = KmsTls::new().ca_pem(CERTIFICATE).unwrap().roots().unwrap();
        assert_eq!(roots.len(), 1);
        assert!(KmsTls::new().roots().unwrap().len() > 10);
        #[cfg(feature = "_access-key")]
        assert!(KmsTls::trusting_nobody().roots().unwrap().is_empty());
    }

    #[test]
    fn mozillas_roots_stand_in_for_none_and_not_for_what_cannot_be_read() {
        let none = of_platform(CertificateResult::default()).unwrap();
        assert_eq!(none.len(), webpki_roots::TLS_SERVER_ROOTS.len());
        let file = Path::new("/there/is/no/such/file.pem");
        let unreadable = rustls_native_certs::load_certs_from_paths(Some(file), None);
        let error = of_platform(unreadable).unwrap_err();
        assert_eq!(error.to_string(), "the platform's roots cannot be read");
    }
}
