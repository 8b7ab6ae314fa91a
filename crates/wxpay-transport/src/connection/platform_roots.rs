//! The platform's trusted roots, which are read beside the start of a client.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::VerifierBuilderError;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tracing::dispatcher::{self, Dispatch};

use crate::observe::log;

/// Verifies servers by the platform's roots, or by those of Mozilla if the platform has none. It leaves every check
/// to the verifier of `rustls`.
///
/// To read some 140 roots takes milliseconds, so a thread reads them while the client is built and connects. The
/// first handshake waits for it where it must.
pub(super) struct PlatformRoots {
    provider: Arc<CryptoProvider>,
    verifier: OnceLock<Result<Arc<WebPkiServerVerifier>, VerifierBuilderError>>,
}

/// The roots that the clients of this process share: they take hundreds of kilobytes, and there may be a
/// client for each of a thousand merchants.
static SHARED: Mutex<Weak<PlatformRoots>> = Mutex::new(Weak::new());

impl PlatformRoots {
    /// Returns those in use by another client, or begins to read them.
    pub(super) fn shared() -> Arc<Self> {
        Self::shared_by(&SHARED)
    }

    fn shared_by(shared: &Mutex<Weak<Self>>) -> Arc<Self> {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(roots) = shared.upgrade() {
            return roots;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(Self { provider, verifier: OnceLock::new() });
        *shared = Arc::downgrade(&roots);
        drop(shared);
        let (reader, subscriber) = (Arc::clone(&roots), dispatcher::get_default(Dispatch::clone));
        let reads = move || dispatcher::with_default(&subscriber, || drop(reader.verifier()));
        // Without a thread, the first handshake reads them.
        let _ = thread::Builder::new().name("wxpay-roots".to_owned()).spawn(reads);
        roots
    }

    /// Waits until the roots are read.
    fn verifier(&self) -> Result<&Arc<WebPkiServerVerifier>, Error> {
        let mut read = None;
        let verifier = self.verifier.get_or_init(|| {
            let RootsRead { roots, added, ignored, errors } = RootsRead::now();
            read = Some((added, ignored, errors));
            let (roots, provider) = (Arc::new(roots), Arc::clone(&self.provider));
            WebPkiServerVerifier::builder_with_provider(roots, provider).build()
        });
        // Others no longer wait: a subscriber may block, or make a call itself.
        if let Some((added, ignored, errors)) = read {
            log::debug!(added, ignored, errors, "read the platform's roots");
            if added == 0 {
                log::warn!("the platform has no trusted roots: those of Mozilla are used");
            }
        }
        verifier.as_ref().map_err(|e| Error::General(format!("the platform's roots: {e}")))
    }
}

impl ServerCertVerifier for PlatformRoots {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verifier()?.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier()?.verify_tls13_signature(message, cert, dss)
    }

    /// Does not wait: this is asked for when a handshake begins.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for PlatformRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlatformRoots")
            .field("are_read", &self.verifier.get().is_some())
            .finish_non_exhaustive()
    }
}

/// Roots, and the counts of reading those of the platform.
struct RootsRead {
    roots: RootCertStore,
    added: usize,
    ignored: usize,
    errors: usize,
}

impl RootsRead {
    fn now() -> Self {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        let (added, ignored) = roots.add_parsable_certificates(native.certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Self { roots, added, ignored, errors: native.errors.len() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn there_are_always_roots() {
        assert!(!RootsRead::now().roots.is_empty());
        assert!(PlatformRoots::shared().verifier().is_ok());
    }

    #[test]
    fn clients_share_the_roots_as_long_as_one_has_them() {
        let (first, second) = (PlatformRoots::shared(), PlatformRoots::shared());
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn nothing_waits_for_the_roots_before_a_certificate_is_there() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let unread = PlatformRoots { provider, verifier: OnceLock::new() };
        let schemes = unread.supported_verify_schemes();
        assert_eq!(format!("{unread:?}"), "PlatformRoots { are_read: false, .. }");
        assert_eq!(schemes, unread.verifier().unwrap().supported_verify_schemes());
        assert_eq!(format!("{unread:?}"), "PlatformRoots { are_read: true, .. }");
    }

    #[test]
    fn a_server_that_no_root_vouches_for_is_refused() {
        let ca = wxpay_testing::ca_pem();
        let unknown = rustls::pki_types::pem::PemObject::from_pem_slice(ca.as_bytes()).unwrap();
        let name = ServerName::try_from("api.mch.weixin.qq.com").unwrap();
        let roots = PlatformRoots::shared();
        let verified = roots.verify_server_cert(&unknown, &[], &name, &[], UnixTime::now());
        assert!(matches!(verified, Err(Error::InvalidCertificate(_))), "{verified:?}");
    }

    /// Requests the roots on another thread while it handles an event, as a call does.
    struct AsksForRoots(mpsc::Sender<bool>);

    static OWN: Mutex<Weak<PlatformRoots>> = Mutex::new(Weak::new());

    impl tracing::Subscriber for AsksForRoots {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
            tracing::Id::from_u64(1)
        }

        fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}

        fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}

        fn event(&self, _: &tracing::Event<'_>) {
            let (done, is_done) = mpsc::channel();
            thread::spawn(move || {
                let verifies = PlatformRoots::shared_by(&OWN).verifier().is_ok();
                done.send(verifies).unwrap();
            });
            let is_done = is_done.recv_timeout(Duration::from_secs(20));
            self.0.send(is_done == Ok(true)).unwrap();
        }

        fn enter(&self, _: &tracing::Id) {}

        fn exit(&self, _: &tracing::Id) {}
    }

    #[test]
    fn a_subscriber_that_needs_the_roots_does_not_wait_for_itself() {
        // With a single dispatcher, `tracing` caches an event as disabled if a thread without a subscriber
        // reaches it first.
        let _other = Dispatch::new(tracing::subscriber::NoSubscriber::default());
        let (told, heard) = mpsc::channel();
        let roots = tracing::subscriber::with_default(AsksForRoots(told), || {
            PlatformRoots::shared_by(&OWN)
        });
        assert_eq!(heard.recv_timeout(Duration::from_secs(20)), Ok(true));
        assert!(roots.verifier().is_ok());
    }
}
