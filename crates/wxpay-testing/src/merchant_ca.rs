//! The certificate authority for merchant certificates.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyPair, SerialNumber, date_time_ymd,
};
use thiserror::Error;
use wxpay_auth_core::{Certificate, KeyError};

/// Why no certificate was issued.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificateRefusal {
    /// It is not a PKCS#10 request in PEM, or its signature does not match its key.
    #[error("this is not a certificate request signed with its own key")]
    #[non_exhaustive]
    Malformed {
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// WeChat Pay does not accept its key.
    #[error("the key in the certificate request is not one for WeChat Pay")]
    Key(#[from] KeyError),
}

static ISSUER: LazyLock<Issuer<'static, KeyPair>> = LazyLock::new(issuer);

#[expect(clippy::expect_used, reason = "fixed parameters, and tested")]
fn issuer() -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "wxpay-testing merchant CA");
    Issuer::new(params, KeyPair::generate().expect("a key"))
}

/// Issues a certificate for a request, valid from 2020 to 2099, and returns it in PEM as well.
pub(crate) fn issue(request_pem: &str) -> Result<(Certificate, String), CertificateRefusal> {
    let malformed = |e: rcgen::Error| CertificateRefusal::Malformed { source: e.into() };
    // It checks the signature of the request.
    let mut request = CertificateSigningRequestParams::from_pem(request_pem).map_err(malformed)?;
    request.params.serial_number = Some(next_serial());
    request.params.not_before = date_time_ymd(2020, 1, 1);
    request.params.not_after = date_time_ymd(2099, 12, 31);
    let pem = request.signed_by(&ISSUER).map_err(malformed)?.pem();
    Ok((Certificate::from_pem(&pem)?, pem))
}

/// Returns a new serial of 20 bytes.
fn next_serial() -> SerialNumber {
    static ISSUED: AtomicU32 = AtomicU32::new(0);
    let mut serial = vec![0x6B; 16];
    serial.extend(ISSUED.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    SerialNumber::from(serial)
}
