//! Requests for merchant certificates (PKCS#10).

mod subject;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use x509_cert::der::Encode;
use x509_cert::der::asn1::{Any, BitString, ObjectIdentifier, SetOfVec};
use x509_cert::request::{CertReq, CertReqInfo, Version};
use x509_cert::spki::AlgorithmIdentifierOwned;

pub use self::subject::{CertificateSubject, CertificateSubjectError};
use crate::keys::PublicKey;
use crate::signer::{Algorithm, SignError, Signer};
use crate::text::debug_as_report;

/// A request for a merchant API certificate (证书请求串): a PKCS#10 certificate request, ready to be
/// uploaded to the merchant platform (账户中心 → API安全 → 申请API证书).
///
/// Any [`Signer`] can sign it, so the key may be in a file, or never leave an HSM or KMS. Check the
/// issued certificate against the key
/// ([`Certificate::require_key`](crate::Certificate::require_key)); its serial is what the signer
/// needs from then on.
///
/// Source: <https://pay.weixin.qq.com/doc/global/v3/zh/4012354975>,
/// <https://www.rfc-editor.org/rfc/rfc2986>
///
#[cfg_attr(feature = "file-key", doc = "```")]
#[cfg_attr(not(feature = "file-key"), doc = "```ignore")]
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::{CertificateRequest, CertificateSubject, FileKeySigner, Mchid, PrivateKey};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let key_pem = include_str!("../../testdata/keys/merchant_private_key.pem");
/// let signer = FileKeySigner::without_certificate(PrivateKey::from_pem(key_pem)?);
/// let subject = CertificateSubject::new(&Mchid::new("1900007291")?).country("CN")?;
/// let request =
///     CertificateRequest::sign(&subject, signer.key().public_key(), &signer).await?;
/// assert!(request.to_pem().starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    der: Vec<u8>,
}

/// `sha256WithRSAEncryption`
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");

impl CertificateRequest {
    /// Builds a request for the certificate of a key, and has its signer sign it.
    ///
    /// # Errors
    /// [`CertificateRequestError`]: the signer has an algorithm other than RSA with SHA-256, failed to
    /// sign, or signed with another key.
    pub async fn sign<S: Signer + ?Sized>(
        subject: &CertificateSubject,
        public_key: &PublicKey,
        signer: &S,
    ) -> Result<Self, CertificateRequestError> {
        let algorithm = signer.algorithm();
        if algorithm != Algorithm::Sha256Rsa2048 {
            return Err(CertificateRequestError::Algorithm { algorithm });
        }
        let info = info(subject, public_key).map_err(CertificateRequestError::encoding)?;
        let message = info.to_der().map_err(CertificateRequestError::encoding)?;
        let signature = signer.sign(&message).await?;
        if !public_key.verifies(&message, signature.as_bytes()) {
            return Err(CertificateRequestError::WrongKey);
        }
        let der = joined(info, signature.as_bytes()).map_err(CertificateRequestError::encoding)?;
        Ok(Self { der })
    }

    /// Returns the request in DER.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Returns the request in PEM (`CERTIFICATE REQUEST`), as the merchant platform expects it.
    pub fn to_pem(&self) -> String {
        let base64 = STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE REQUEST-----\n");
        let mut rest = base64.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END CERTIFICATE REQUEST-----\n");
        pem
    }
}

fn info(
    subject: &CertificateSubject,
    public_key: &PublicKey,
) -> x509_cert::der::Result<CertReqInfo> {
    Ok(CertReqInfo {
        version: Version::V1,
        subject: subject.to_name()?,
        public_key: public_key.to_spki()?,
        attributes: SetOfVec::new(),
    })
}

fn joined(info: CertReqInfo, signature: &[u8]) -> x509_cert::der::Result<Vec<u8>> {
    let algorithm =
        AlgorithmIdentifierOwned { oid: SHA256_WITH_RSA, parameters: Some(Any::null()) };
    CertReq { info, algorithm, signature: BitString::from_bytes(signature)? }.to_der()
}

impl fmt::Debug for CertificateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateRequest")
            .field("der", &format_args!("[{} bytes]", self.der.len()))
            .finish()
    }
}

/// Why a certificate request failed.
#[derive(Error)]
#[non_exhaustive]
pub enum CertificateRequestError {
    /// Certificate requests do not support the signer's algorithm.
    #[error("the signer signs with {algorithm}, but a certificate request needs RSA with SHA-256")]
    #[non_exhaustive]
    Algorithm {
        /// The algorithm of the signer.
        algorithm: Algorithm,
    },
    /// The signer failed.
    #[error("the certificate request was not signed")]
    Sign(#[from] SignError),
    /// The signer signed with a key other than that of the request, or incorrectly.
    #[error("the signature does not fit the key that the certificate is requested for")]
    WrongKey,
    /// The request cannot be encoded.
    #[error("the certificate request cannot be encoded")]
    #[non_exhaustive]
    Encoding {
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl CertificateRequestError {
    fn encoding(error: x509_cert::der::Error) -> Self {
        Self::Encoding { source: error.into() }
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Algorithm { .. } => "use a signer with an RSA key of 2048 bits",
            Self::Sign(e) => e.hint(),
            Self::WrongKey => {
                "give the public key that belongs to the signer's private key; if it is that one, \
                 check that the signer hashes the message once and pads it as RSASSA-PKCS1-v1_5"
            }
            Self::Encoding { .. } => "check the subject, and see the source of the error",
        }
    }
}

debug_as_report!(CertificateRequestError);
