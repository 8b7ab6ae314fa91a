//! Sources of the merchant certificate serial.

use crate::keys::{Certificate, KeyError, PublicKey};
use crate::serial_no::SerialNo;

/// Where a signer takes the serial of the merchant certificate from.
#[derive(Debug, Clone)]
pub enum SerialSource {
    /// The certificate, which must belong to the key.
    Certificate(Certificate),
    /// The serial itself. Whether it belongs to the key cannot be checked.
    Given(SerialNo),
}

impl SerialSource {
    /// Returns the serial for a key.
    ///
    /// # Errors
    /// [`KeyError::CertificateMismatch`] if the certificate belongs to another key.
    pub fn serial_no_for(&self, public_key: &PublicKey) -> Result<SerialNo, KeyError> {
        match self {
            Self::Certificate(certificate) => {
                certificate.require_key(public_key)?;
                Ok(certificate.serial_no().clone())
            }
            Self::Given(serial_no) => Ok(serial_no.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_must_belong_to_the_key_and_a_serial_is_taken_as_it_is() {
        let certificate = include_str!("../../testdata/keys/merchant_certificate.pem");
        let certificate = Certificate::from_pem(certificate).unwrap();
        let other = include_str!("../../testdata/keys/wechat_pay_certificate.pem");
        let other = Certificate::from_pem(other).unwrap();
        let (own, serial_no) = (certificate.public_key().clone(), certificate.serial_no().clone());
        let of_certificate = SerialSource::Certificate(certificate);
        assert_eq!(of_certificate.serial_no_for(&own).unwrap(), serial_no);
        assert!(matches!(
            of_certificate.serial_no_for(other.public_key()),
            Err(KeyError::CertificateMismatch { serial_no: named }) if named == serial_no
        ));
        let given = SerialSource::Given(serial_no.clone());
        assert_eq!(given.serial_no_for(other.public_key()).unwrap(), serial_no);
    }
}
