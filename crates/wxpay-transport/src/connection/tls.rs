//! TLS settings: `ring`, TLS 1.2 and 1.3, HTTP/1.1.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::HashAlgorithm;
use rustls::{ClientConfig, RootCertStore, SupportedCipherSuite};

use crate::error::ConfigError;

/// Makes the default settings. The cryptography is passed in: no process-wide provider is read or set.
pub(crate) fn default_config(roots: Arc<RootCertStore>) -> Result<Arc<ClientConfig>, ConfigError> {
    let config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| ConfigError::Tls { reason: e.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(adapted(config))
}

/// Returns `ring`, with the suites first that hash with SHA-256: processors compute that by themselves, and
/// a handshake, which many calls need, costs a seventh less. A server that prefers AES-256 still gets it.
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

/// Adapts settings that the caller made: the protocol is HTTP/1.1, and early data stay off, since
/// whoever records them can play them again.
pub(crate) fn adapted(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_early_data = false;
    Arc::new(config)
}

/// The roots that the clients of this process share: they are hundreds of kilobytes, and there may be a
/// client for each of a thousand merchants.
static ROOTS: Mutex<Weak<RootCertStore>> = Mutex::new(Weak::new());

/// Returns the platform's roots, or those of Mozilla where the platform has none: those in use, or, when no
/// client has any, read anew, which takes milliseconds.
pub(crate) fn shared_roots() -> Arc<RootCertStore> {
    let mut shared = ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let read = Arc::new(roots());
        *shared = Arc::downgrade(&read);
        read
    })
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    let (added, ignored) = roots.add_parsable_certificates(native.certs);
    tracing::debug!(added, ignored, errors = native.errors.len(), "read the platform's roots");
    if roots.is_empty() {
        tracing::warn!("the platform has no trusted roots: those of Mozilla are used");
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_always_roots_and_only_http_1() {
        let config = default_config(shared_roots()).unwrap();
        assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
        assert!(!roots().is_empty());
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
    fn clients_share_the_roots_as_long_as_one_has_them() {
        let (first, second) = (shared_roots(), shared_roots());
        assert!(Arc::ptr_eq(&first, &second));
        assert!(!first.is_empty());
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
