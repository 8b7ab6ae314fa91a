//! TLS settings: `ring`, TLS 1.2 and 1.3, HTTP/1.1.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use crate::error::ConfigError;

/// Makes the default settings: the platform's roots, and those of Mozilla where the platform has
/// none. The cryptography is passed in: no process-wide provider is read or set.
///
/// Reading the roots takes milliseconds, so it is left out where no TLS is spoken.
pub(crate) fn default_config(with_roots: bool) -> Result<Arc<ClientConfig>, ConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| ConfigError::Tls { reason: e.to_string() })?
        .with_root_certificates(if with_roots { roots() } else { RootCertStore::empty() })
        .with_no_client_auth();
    Ok(adapted(config))
}

/// Adapts settings that the caller made: the protocol is HTTP/1.1, and early data stay off, since
/// whoever records them can play them again.
pub(crate) fn adapted(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.enable_early_data = false;
    Arc::new(config)
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
        let config = default_config(true).unwrap();
        assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
        assert!(!roots().is_empty());
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
