//! TLS settings: `ring`, TLS 1.2 and 1.3, HTTP/1.1.

use std::fmt;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::HashAlgorithm;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, SupportedCipherSuite, WantsVerifier};

use crate::connection::platform_roots::PlatformRoots;
use crate::connection::tls_sessions::TlsSessions;
use crate::error::ConfigError;

/// TLS settings: protocol versions and trusted roots. The protocol is always HTTP/1.1, and early data are
/// always off.
///
/// ```
/// use wxpay_transport::Tls;
///
/// // A gateway with its own certificate authority.
/// # let pem = wxpay_testing::ca_pem();
/// let tls = Tls::roots_pem(pem.as_bytes())?;
/// # let _ = tls;
/// # Ok::<(), wxpay_transport::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct Tls(Choice);

#[derive(Clone, Default)]
enum Choice {
    #[default]
    Platform,
    Roots(Arc<RootCertStore>),
    Given(Box<ClientConfig>),
}

impl Tls {
    /// Trusts the roots of the platform, or those of Mozilla if the platform has none, and speaks TLS 1.2 and
    /// 1.3 with `ring`. This is the default.
    pub fn platform() -> Self {
        Self(Choice::Platform)
    }

    /// Trusts the certificates in this PEM text, and no others.
    ///
    /// # Errors
    /// [`ConfigError::Tls`] if there is none, or one cannot be read.
    pub fn roots_pem(pem: &[u8]) -> Result<Self, ConfigError> {
        let failed = |reason: String| ConfigError::Tls { reason };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|e| failed(format!("root certificates: {e}")))?;
            roots.add(certificate).map_err(|e| failed(format!("a root certificate: {e}")))?;
        }
        if roots.is_empty() {
            return Err(failed("there is no root certificate in the PEM text".into()));
        }
        Ok(roots.into())
    }

    /// Uses a `rustls` configuration: for a client certificate, another provider, a custom verifier, and
    /// everything else without a method here.
    pub fn rustls(config: ClientConfig) -> Self {
        Self(Choice::Given(Box::new(config)))
    }

    /// Returns the configuration that all connections share, with session tickets for this many `connections`
    /// opened at a time. The platform's roots are read only if TLS is used.
    pub(crate) fn config(
        &self,
        is_spoken: bool,
        connections: usize,
    ) -> Result<Arc<ClientConfig>, ConfigError> {
        let builder = match &self.0 {
            Choice::Given(config) => return Ok(adapted(ClientConfig::clone(config))),
            _ => default_builder()?,
        };
        let builder = match &self.0 {
            Choice::Roots(roots) => builder.with_root_certificates(Arc::clone(roots)),
            _ if is_spoken => {
                builder.dangerous().with_custom_certificate_verifier(PlatformRoots::shared())
            }
            _ => builder.with_root_certificates(RootCertStore::empty()),
        };
        let mut config = builder.with_no_client_auth();
        config.resumption = Resumption::store(Arc::new(TlsSessions::new(connections)));
        Ok(adapted(config))
    }
}

impl From<ClientConfig> for Tls {
    fn from(config: ClientConfig) -> Self {
        Self::rustls(config)
    }
}

/// Trusts these roots, and no others.
impl From<RootCertStore> for Tls {
    fn from(roots: RootCertStore) -> Self {
        Self(Choice::Roots(Arc::new(roots)))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Choice::Platform => f.write_str("Tls(platform)"),
            Choice::Roots(roots) => write!(f, "Tls({} roots)", roots.len()),
            Choice::Given(_) => f.write_str("Tls(rustls)"),
        }
    }
}

/// Begins the default configuration. The provider is passed in: no process-wide one is read or set.
fn default_builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, ConfigError> {
    ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| ConfigError::Tls { reason: e.to_string() })
}

/// Returns `ring`, preferring suites that hash with SHA-256: processors compute that in hardware, and a
/// handshake, which many calls need, costs a seventh less. A server that prefers AES-256 still gets it.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        let common = match suite {
            SupportedCipherSuite::Tls12(suite) => &suite.common,
            SupportedCipherSuite::Tls13(suite) => &suite.common,
        };
        common.hash_provider.algorithm() != HashAlgorithm::SHA256
    });
    provider
}

/// Adapts a configuration of the caller: the protocol is HTTP/1.1, and early data stay off, because a
/// recording of them can be replayed.
fn adapted(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_early_data = false;
    Arc::new(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_1_is_spoken() {
        for tls in [Tls::platform(), Tls::roots_pem(wxpay_testing::ca_pem().as_bytes()).unwrap()] {
            let config = tls.config(true, 8).unwrap();
            assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
            assert!(!config.enable_early_data);
        }
    }

    #[test]
    fn no_suite_is_missing_and_those_with_sha_256_come_first() {
        let (ours, theirs) = (provider(), rustls::crypto::ring::default_provider());
        assert_eq!(ours.cipher_suites.len(), theirs.cipher_suites.len());
        let names: Vec<_> = ours.cipher_suites.iter().map(|s| format!("{:?}", s.suite())).collect();
        let first_384 = names.iter().position(|name| name.ends_with("SHA384")).unwrap();
        assert!(names[first_384..].iter().all(|name| name.ends_with("SHA384")), "{names:?}");
        assert_eq!(names[0], "TLS13_AES_128_GCM_SHA256");
    }

    #[test]
    fn roots_are_read_from_pem_and_none_is_an_error() {
        let roots = Tls::roots_pem(wxpay_testing::ca_pem().as_bytes()).unwrap();
        assert_eq!(format!("{roots:?}"), "Tls(1 roots)");
        for wrong in
            ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
        {
            let error = Tls::roots_pem(wrong.as_bytes()).unwrap_err();
            assert!(matches!(error, ConfigError::Tls { .. }), "{wrong}: {error}");
        }
    }

    #[test]
    fn the_callers_settings_are_adapted() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.enable_early_data = true;
        let config = adapted(config);
        assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
        assert!(!config.enable_early_data);
    }
}
