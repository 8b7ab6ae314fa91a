//! The merchant certificate that an address names.

use std::fmt;

use wxpay_auth_core::Certificate;
use wxpay_auth_core::internal::remote::SerialSource;
use wxpay_auth_core::internal::{FileSource, Shown};

use super::error::SignerUriError;
use super::parameters::Parameters;

/// Where the merchant certificate, or its serial, comes from.
#[derive(Clone)]
pub(super) enum MerchantSource {
    File(FileSource),
    Given(SerialSource),
}

impl fmt::Debug for MerchantSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(FileSource::Path(path)) => {
                f.debug_tuple("File").field(&Shown(path)).finish()
            }
            Self::File(FileSource::Credential(_)) => f.write_str("Credential"),
            Self::Given(merchant) => f.debug_tuple("Given").field(merchant).finish(),
        }
    }
}

impl MerchantSource {
    pub(super) fn take(parameters: &mut Parameters) -> Result<Option<Self>, SignerUriError> {
        let file = parameters.take_file("certificate")?;
        let serial_no =
            parameters.take_parsed("serial_no", "is not a serial: 40 hexadecimal digits")?;
        match (file, serial_no) {
            (Some(_), Some(_)) => Err(SignerUriError::Value {
                parameter: "serial_no",
                problem: "is given in addition to the certificate, which contains it",
            }),
            (Some(file), None) => Ok(Some(Self::File(file))),
            (None, serial_no) => {
                Ok(serial_no.map(|serial| Self::Given(SerialSource::Given(serial))))
            }
        }
    }

    /// Reads the certificate, if it is in a file.
    pub(super) fn read(self) -> Result<SerialSource, SignerUriError> {
        match self {
            Self::File(file) => {
                Ok(SerialSource::Certificate(Certificate::from_pem_file(file.path()?)?))
            }
            Self::Given(merchant) => Ok(merchant),
        }
    }
}
