//! Certificates and TLS settings of the servers in this crate.

use std::sync::{Arc, LazyLock};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// The TLS settings of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ServerTls {
    /// TLS 1.2 and 1.3, with a certificate for `127.0.0.1`, `localhost` and `gateway.example`.
    #[default]
    Good,
    /// TLS 1.2 only.
    Tls12,
    /// A certificate for another host.
    WrongHost,
    /// A certificate that has expired.
    Expired,
    /// A certificate for the right hosts, from an authority that [`client_config`] does not trust.
    UntrustedCa,
}

/// A name that does not resolve: it is reached only through a proxy.
const NAME: &str = "gateway.example";

/// An authority that issues server certificates; it lives as long as the process.
struct Authority {
    pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

static AUTHORITY: LazyLock<Authority> = LazyLock::new(Authority::new);

/// Has the same name as `AUTHORITY`, but another key.
static UNTRUSTED: LazyLock<Authority> = LazyLock::new(Authority::new);

impl Authority {
    #[expect(clippy::expect_used, reason = "fixed parameters, and tested")]
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "wxpay-testing");
        let certificate = params.self_signed(&key).expect("a certificate");
        let (pem, certificate) = (certificate.pem(), certificate.der().clone());
        Self { pem, certificate, issuer: Issuer::new(params, key) }
    }
}

/// Returns the certificate of the authority that issues the server certificates, in PEM, for programs
/// that need to trust them. It differs in each process.
pub fn ca_pem() -> &'static str {
    &AUTHORITY.pem
}

/// Returns the same certificate as [`ca_pem`], in DER.
pub fn ca_der() -> &'static [u8] {
    &AUTHORITY.certificate
}

/// Returns TLS settings for a client that trusts only the servers of this crate.
#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "fixed parameters, and tested")]
pub fn client_config() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(AUTHORITY.certificate.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub(crate) fn acceptor(tls: ServerTls) -> TlsAcceptor {
    TlsAcceptor::from(Arc::new(server_config(tls)))
}

/// Returns TLS settings for another server, whose certificate [`client_config`] trusts if the settings
/// are good.
#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "fixed parameters, and tested")]
pub fn server_config(tls: ServerTls) -> ServerConfig {
    let names = match tls {
        ServerTls::WrongHost => vec!["wrong.example".to_owned()],
        _ => vec!["127.0.0.1".to_owned(), "localhost".to_owned(), NAME.to_owned()],
    };
    let mut params = CertificateParams::new(names).expect("names");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = match tls {
        ServerTls::Expired => date_time_ymd(2020, 2, 1),
        _ => date_time_ymd(2099, 1, 1),
    };
    let key = KeyPair::generate().expect("a key");
    let authority = if tls == ServerTls::UntrustedCa { &UNTRUSTED } else { &AUTHORITY };
    let certificate = params.signed_by(&key, &authority.issuer).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());

    let versions: &[_] = match tls {
        ServerTls::Tls12 => &[&rustls::version::TLS12],
        _ => &[&rustls::version::TLS12, &rustls::version::TLS13],
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate with its key")
}
