//! TLS settings: `ring`, TLS 1.2 and 1.3, HTTP/1.1.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustls::{ClientConfig, RootCertStore};

use crate::error::ConfigError;

/// Makes the default settings: the platform's roots, and those of Mozilla where the platform has
/// none. The cryptography is passed in: no process-wide provider is read or set.
///
/// Reading the roots takes milliseconds, so it is left out where no TLS is spoken, and done once for all clients
/// that live at the same time.
pub(crate) fn default_config(with_roots: bool) -> Result<Arc<ClientConfig>, ConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| ConfigError::Tls { reason: e.to_string() })?
        .with_root_certificates(if with_roots {
            shared_roots()
        } else {
            Arc::new(RootCertStore::empty())
        })
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

/// The roots that the clients of this process share: they are hundreds of kilobytes, and there may be a
/// client for each of a thousand merchants.
static ROOTS: Mutex<Weak<RootCertStore>> = Mutex::new(Weak::new());

/// Returns the roots in use, or reads them when no client has any.
fn shared_roots() -> Arc<RootCertStore> {
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
        let config = default_config(true).unwrap();
        assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
        assert!(!roots().is_empty());
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
