//! The certificates of this run: an authority's, the server's, and a platform certificate.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SerialNumber, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use tokio_rustls::TlsAcceptor;
use wxpay_benchmarks::Result;

const PLATFORM_SERIAL: [u8; 20] = *b"\x5b\x1a\x0c\x62\x42\xd3\x4f\x21\x8a\x11\
    \x3e\x96\x2c\x7d\x55\x01\x90\x4e\xab\x37";

pub(crate) struct Certificates {
    pub(crate) ca_pem: String,
    pub(crate) platform_pem: String,
    /// In hexadecimal, as in `Wechatpay-Serial`.
    pub(crate) platform_serial: String,
    server: CertificateDer<'static>,
    server_key: PrivateKeyDer<'static>,
}

impl Certificates {
    pub(crate) fn make(platform_key: &str) -> Result<Self> {
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "wxpay-benchmarks");
        let ca_key = KeyPair::generate()?;
        let ca_pem = ca.self_signed(&ca_key)?.pem();

        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server_key = KeyPair::generate()?;
        let issuer = Issuer::new(ca, ca_key);
        let server = CertificateParams::new(names)?.signed_by(&server_key, &issuer)?;

        let mut platform = CertificateParams::default();
        platform.serial_number = Some(SerialNumber::from_slice(&PLATFORM_SERIAL));
        platform.not_before = date_time_ymd(2024, 1, 1);
        platform.not_after = date_time_ymd(2099, 1, 1);
        platform.distinguished_name.push(DnType::CommonName, "Tenpay.com");
        let platform = platform.self_signed(&KeyPair::from_pem(platform_key)?)?;
        Ok(Self {
            ca_pem,
            platform_pem: platform.pem(),
            platform_serial: PLATFORM_SERIAL.map(|byte| format!("{byte:02X}")).concat(),
            server: server.der().clone(),
            server_key: PrivateKeyDer::Pkcs8(server_key.serialize_der().into()),
        })
    }

    pub(crate) fn acceptor(self) -> Result<TlsAcceptor> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: &[_] = match std::env::var("STUB_TLS").as_deref() {
            Ok("1.2") => &[&rustls::version::TLS12],
            _ => rustls::DEFAULT_VERSIONS,
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_single_cert(vec![self.server], self.server_key)?;
        if std::env::var_os("STUB_RESUMES_NOTHING").is_some() {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
