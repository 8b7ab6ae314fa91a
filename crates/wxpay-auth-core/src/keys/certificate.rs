//! X.509 certificates: the merchant's, and WeChat Pay's platform certificates.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use x509_cert::der::Decode;

use crate::clock::Timestamp;
use crate::keys::merchant_certificate::is_merchants;
use crate::keys::{KeyError, KeyMaterial, PublicKey, key_file, pem, rsa};
use crate::serial_no::SerialNo;

/// The serial, validity and key of an X.509 certificate.
///
/// Its chain is not checked unless by [`require_issuer`](Self::require_issuer): a merchant certificate is the
/// merchant's own, and a platform certificate is trusted because of how it was delivered (encrypted with the
/// `APIv3` key).
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    serial_no: SerialNo,
    not_before: Timestamp,
    not_after: Timestamp,
    public_key: PublicKey,
    is_merchants: bool,
    is_self_issued: bool,
    der: Arc<[u8]>,
}

impl Certificate {
    /// Parses the first certificate of a PEM text (`apiclient_cert.pem`, or a platform certificate).
    ///
    /// # Errors
    /// [`KeyError`]: not PEM, not a certificate, its key not RSA or not 2048 bits, or damaged.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let block = pem::find(pem.as_ref(), KeyMaterial::Certificate)?;
        Self::from_der(&block.der)
    }

    /// Reads the first certificate of a PEM file. Blocking: call it at startup.
    ///
    /// # Errors
    /// As [`Certificate::from_pem`], and if the file does not exist or cannot be read.
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        Self::from_pem(&*key_file::read(path.as_ref())?)
    }

    /// Parses a certificate in DER.
    ///
    /// # Errors
    /// [`KeyError`]: its key not RSA or not 2048 bits, or damaged.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let damaged = |reason| KeyError::Malformed { material: KeyMaterial::Certificate, reason };
        let certificate = x509_cert::Certificate::from_der(der)
            .map_err(|_| damaged("it is not an X.509 certificate"))?;
        let certificate = certificate.tbs_certificate();
        let serial_no = SerialNo::from_be_bytes(certificate.serial_number().as_bytes())
            .map_err(|_| damaged("its serial has more than 20 bytes"))?;
        let validity = certificate.validity();
        let unix = |time: x509_cert::time::Time| {
            Timestamp::from_unix_secs(time.to_unix_duration().as_secs())
        };
        let pkcs1 = rsa::public_key_of_certificate(certificate.subject_public_key_info())?;
        Ok(Self {
            serial_no,
            not_before: unix(validity.not_before),
            not_after: unix(validity.not_after),
            public_key: PublicKey::from_checked_pkcs1(pkcs1),
            is_merchants: is_merchants(certificate.subject()),
            is_self_issued: certificate.issuer() == certificate.subject(),
            der: der.into(),
        })
    }

    /// Returns its serial number.
    pub fn serial_no(&self) -> &SerialNo {
        &self.serial_no
    }

    /// Returns the first second at which it is valid.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Returns the last second at which it is valid.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Returns its key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Returns whether its subject is that of a merchant API certificate.
    pub(crate) fn is_merchants(&self) -> bool {
        self.is_merchants
    }

    /// Returns whether it names its own subject as issuer, which no certificate of WeChat Pay does.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.is_self_issued
    }

    /// Checks that it belongs to a key.
    ///
    /// # Errors
    /// [`KeyError::CertificateMismatch`] if it belongs to another key.
    pub fn require_key(&self, key: &PublicKey) -> Result<(), KeyError> {
        if self.public_key == *key {
            Ok(())
        } else {
            Err(KeyError::CertificateMismatch { serial_no: self.serial_no.clone() })
        }
    }

    /// Returns the complete certificate in DER.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("serial_no", &self.serial_no)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
