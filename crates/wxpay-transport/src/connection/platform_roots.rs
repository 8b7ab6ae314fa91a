//! The platform's trusted roots, which are read beside the start of a client.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_native_certs::CertificateResult;
use tracing::dispatcher::{self, Dispatch};

use crate::observe::log;

/// Verifies servers by the platform's roots, or by those of Mozilla if the platform has none. It leaves every check
/// to the verifier of `rustls`.
///
/// To read some 140 roots takes milliseconds, so a thread reads them while the client is built and connects. The
/// first handshake waits for it where it must. Most platforms have all roots in one file, and once more in a folder
/// of files: that is read only if the file does not vouch for a server.
pub(super) struct PlatformRoots {
    provider: Arc<CryptoProvider>,
    /// Of the file with all roots; `None` if there is none, or it has none.
    of_file: OnceLock<Option<FileRoots>>,
    /// Of everything that the platform has. Not set by a failure: the next handshake reads again.
    of_all: OnceLock<Arc<WebPkiServerVerifier>>,
    /// Held while everything is read.
    reading: Mutex<()>,
}

/// The roots of the file, and their verifier.
struct FileRoots {
    roots: Arc<RootCertStore>,
    verifier: Arc<WebPkiServerVerifier>,
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
        let roots = Arc::new(Self::unread());
        *shared = Arc::downgrade(&roots);
        drop(shared);
        let (reader, subscriber) = (Arc::clone(&roots), dispatcher::get_default(Dispatch::clone));
        let reads = move || dispatcher::with_default(&subscriber, || drop(reader.first()));
        // Without a thread, the first handshake reads them.
        let _ = thread::Builder::new().name("wxpay-roots".to_owned()).spawn(reads);
        roots
    }

    fn unread() -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (of_file, of_all) = (OnceLock::new(), OnceLock::new());
        Self { provider, of_file, of_all, reading: Mutex::new(()) }
    }

    /// Returns the verifier that is asked first; waits until its roots are read.
    fn first(&self) -> Result<Arc<WebPkiServerVerifier>, Error> {
        let mut counts = None;
        let of_file = self.of_file.get_or_init(|| {
            let read = RootsRead::of_file().filter(|read| !read.roots.is_empty())?;
            counts = Some(read.counts);
            let roots = Arc::new(read.roots);
            let verifier = self.verifier(Arc::clone(&roots)).ok()?;
            Some(FileRoots { roots, verifier })
        });
        log_read(counts);
        of_file.as_ref().map_or_else(|| self.all(), |of_file| Ok(Arc::clone(&of_file.verifier)))
    }

    /// Returns the verifier with all roots; waits until they are read.
    fn all(&self) -> Result<Arc<WebPkiServerVerifier>, Error> {
        self.all_of(rustls_native_certs::load_native_certs)
    }

    fn all_of(
        &self,
        read: impl FnOnce() -> CertificateResult,
    ) -> Result<Arc<WebPkiServerVerifier>, Error> {
        let reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_all) = self.of_all.get() {
            return Ok(Arc::clone(of_all));
        }
        let of_file = self.of_file.get().and_then(Option::as_ref);
        let read = RootsRead::of_all(of_file.map(|of_file| &*of_file.roots), read())?;
        let verifier = self.verifier(Arc::new(read.roots))?;
        let of_all = Arc::clone(self.of_all.get_or_init(|| verifier));
        drop(reading);
        log_read(Some(read.counts));
        Ok(of_all)
    }

    fn verifier(&self, roots: Arc<RootCertStore>) -> Result<Arc<WebPkiServerVerifier>, Error> {
        let provider = Arc::clone(&self.provider);
        let built = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        built.map_err(|e| Error::General(format!("the platform's roots: {e}")))
    }
}

/// Logs once nobody waits any more: a subscriber may block, or make a call itself.
fn log_read(read: Option<Counts>) {
    let Some(Counts { added, ignored, errors }) = read else { return };
    log::debug!(added, ignored, errors, "read the platform's roots");
    if added == 0 {
        log::warn!("the platform has no trusted roots: those of Mozilla are used");
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
        let verified = |by: &WebPkiServerVerifier| {
            by.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        match verified(&*self.first()?) {
            Err(Error::InvalidCertificate(_)) => verified(&*self.all()?),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first()?.verify_tls13_signature(message, cert, dss)
    }

    /// Does not wait: this is asked for when a handshake begins.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for PlatformRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlatformRoots")
            .field("are_read", &self.of_file.get().is_some())
            .finish_non_exhaustive()
    }
}

/// Roots, and the counts of reading those of the platform.
struct RootsRead {
    roots: RootCertStore,
    counts: Counts,
}

/// How many were read.
#[derive(Clone, Copy)]
struct Counts {
    added: usize,
    ignored: usize,
    errors: usize,
}

impl RootsRead {
    /// Adds everything that was read to the roots of the file, which may have been read long before, when more could
    /// be read. Those of Mozilla stand in for a platform without roots, not for roots that cannot be read: these may
    /// be there to trust fewer servers.
    fn of_all(of_file: Option<&RootCertStore>, native: CertificateResult) -> Result<Self, Error> {
        let unreadable = native.errors.first().map(ToString::to_string);
        let Self { roots, counts } = Self::of(native);
        let mut all = of_file.cloned().unwrap_or_else(RootCertStore::empty);
        for root in roots.roots {
            if !all.roots.contains(&root) {
                all.roots.push(root);
            }
        }
        match unreadable {
            Some(error) if all.is_empty() => {
                return Err(Error::General(format!(
                    "the platform's roots cannot be read: {error}"
                )));
            }
            None if all.is_empty() => all.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            _ => {}
        }
        Ok(Self { roots: all, counts })
    }

    /// Reads the file that is part of all; `None` if the platform has no such file.
    fn of_file() -> Option<Self> {
        let file = file_of_roots()?;
        Some(Self::of(rustls_native_certs::load_certs_from_paths(Some(&file), None)))
    }

    fn of(native: CertificateResult) -> Self {
        let mut roots = RootCertStore::empty();
        let (added, ignored) = roots.add_parsable_certificates(native.certs);
        Self { roots, counts: Counts { added, ignored, errors: native.errors.len() } }
    }
}

/// Returns the file that `rustls_native_certs` reads beside folders: that of the environment, or, if the environment
/// names nothing, that of the platform.
#[cfg(all(unix, not(target_os = "macos")))]
fn file_of_roots() -> Option<PathBuf> {
    match (std::env::var_os("SSL_CERT_FILE"), std::env::var_os("SSL_CERT_DIR")) {
        (Some(file), _) => Some(file.into()),
        (None, Some(folder)) if !folder.is_empty() => None,
        (None, _) => openssl_probe::probe().cert_file,
    }
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
fn file_of_roots() -> Option<PathBuf> {
    None
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn there_are_always_roots() {
        let native = rustls_native_certs::load_native_certs();
        assert!(!RootsRead::of_all(None, native).unwrap().roots.is_empty());
        assert!(PlatformRoots::shared().first().is_ok() && PlatformRoots::shared().all().is_ok());
    }

    #[cfg(all(unix, not(target_os = "macos")))]
    #[test]
    fn the_file_is_a_part_of_all() {
        let native = rustls_native_certs::load_native_certs();
        let all = RootsRead::of_all(None, native).unwrap().roots;
        let is_part =
            |file: RootsRead| file.roots.roots.iter().all(|root| all.roots.contains(root));
        assert!(RootsRead::of_file().is_none_or(is_part));
    }

    #[test]
    fn clients_share_the_roots_as_long_as_one_has_them() {
        let (first, second) = (PlatformRoots::shared(), PlatformRoots::shared());
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn nothing_waits_for_the_roots_before_a_certificate_is_there() {
        let unread = PlatformRoots::unread();
        let schemes = unread.supported_verify_schemes();
        assert_eq!(format!("{unread:?}"), "PlatformRoots { are_read: false, .. }");
        assert_eq!(schemes, unread.first().unwrap().supported_verify_schemes());
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

    fn ours() -> RootCertStore {
        let ours = wxpay_testing::ca_pem();
        let ours = rustls::pki_types::pem::PemObject::from_pem_slice(ours.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(ours).unwrap();
        roots
    }

    fn mozillas() -> RootCertStore {
        webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
    }

    /// Returns roots of which only the file was read.
    fn of_file(roots: RootCertStore) -> PlatformRoots {
        let (unread, roots) = (PlatformRoots::unread(), Arc::new(roots));
        let verifier = unread.verifier(Arc::clone(&roots)).unwrap();
        PlatformRoots { of_file: OnceLock::from(Some(FileRoots { roots, verifier })), ..unread }
    }

    /// As if the platform's file lacked a root that its folder has.
    #[test]
    fn a_server_that_only_the_folder_vouches_for_is_trusted() {
        let server = wxpay_testing::server_config(wxpay_testing::ServerTls::Good);
        for (all, is_trusted) in [(ours(), true), (mozillas(), false)] {
            let roots = of_file(mozillas());
            let all = roots.verifier(Arc::new(all)).unwrap();
            let roots = PlatformRoots { of_all: OnceLock::from(all), ..roots };
            let ended = handshake(Arc::new(roots), Arc::new(server.clone()));
            assert_eq!(ended.is_ok(), is_trusted, "{ended:?}");
        }
    }

    fn nothing() -> CertificateResult {
        CertificateResult::default()
    }

    fn unreadable() -> CertificateResult {
        let file = std::path::Path::new("/there/is/no/such/file.pem");
        rustls_native_certs::load_certs_from_paths(Some(file), None)
    }

    /// The file may be all that an administrator trusts, and may not be readable any more.
    #[test]
    fn what_was_read_once_stays_and_nothing_of_others_is_added() {
        for read in [nothing(), unreadable()] {
            let all = RootsRead::of_all(Some(&ours()), read).unwrap().roots;
            assert_eq!(all.roots, ours().roots);
        }
        let both = CertificateResult::default();
        let all = RootsRead::of_all(Some(&ours()), both).unwrap();
        assert_eq!(all.roots.len(), 1, "none is there twice");
    }

    #[test]
    fn mozillas_stand_in_for_none_and_not_for_what_cannot_be_read() {
        let all = RootsRead::of_all(None, nothing()).unwrap().roots;
        assert_eq!(all.roots, mozillas().roots);
        let roots = PlatformRoots { of_file: OnceLock::from(None), ..PlatformRoots::unread() };
        let error = roots.all_of(unreadable).unwrap_err().to_string();
        assert!(error.contains("the platform's roots cannot be read"), "{error}");
        assert!(roots.all_of(nothing).is_ok(), "it is read again");
    }

    /// Runs a handshake in memory.
    fn handshake(
        roots: Arc<PlatformRoots>,
        server: Arc<rustls::ServerConfig>,
    ) -> Result<(), Error> {
        let provider = Arc::clone(&roots.provider);
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(client), name)?;
        let mut server = rustls::ServerConnection::new(server)?;
        while client.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
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
                let verifies = PlatformRoots::shared_by(&OWN).first().is_ok();
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
        assert!(roots.first().is_ok());
    }
}
