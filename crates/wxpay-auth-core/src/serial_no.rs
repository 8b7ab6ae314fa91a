//! Serial numbers of merchant API certificates.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::text::{Number, debug_as_report, invisible, serde_as_text};

/// The serial number of a merchant API certificate (商户API证书序列号, `serial_no`): 40 hexadecimal
/// digits, stored in upper case.
///
/// Whether it is the right one cannot be checked: a serial that lost two digits when it was copied has 38
/// left, and is taken for a serial that begins with a zero byte. WeChat Pay then responds to every call with
/// 401 (`SIGN_ERROR`). A signer that is given the certificate reads the serial from it, so nothing is
/// copied by hand.
///
/// It identifies the *merchant's* certificate, never WeChat Pay's: for that, see
/// [`WechatpaySerial`](crate::WechatpaySerial).
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012365342>
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::SerialNo;
///
/// let serial_no: SerialNo = "408b07e79b8269fec3d5d3e6ab8ed163a6a380db".parse()?;
/// assert_eq!(serial_no.as_str(), "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB");
/// # Ok::<(), wxpay_auth::SerialNoError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SerialNo(Arc<str>);

impl SerialNo {
    /// Validates a serial number, and converts it to upper case. For a serial that begins with a zero byte,
    /// `openssl x509 -serial` prints 38 digits: two zeros are prepended.
    ///
    /// # Errors
    /// [`SerialNoError`] if it does not have exactly 40 or 38 characters, or has anything but hexadecimal
    /// digits (such as colons).
    pub fn new(serial_no: impl AsRef<str>) -> Result<Self, SerialNoError> {
        let serial_no = serial_no.as_ref();
        if let Some(position) = serial_no.chars().position(|c| !c.is_ascii_hexdigit()) {
            let public_key_id = serial_no.starts_with("PUB_KEY_ID_");
            return Err(match invisible(serial_no) {
                _ if public_key_id => SerialNoError::PublicKeyId,
                Some(character) => SerialNoError::Invisible { character },
                None => SerialNoError::NotHex { position },
            });
        }
        match serial_no.len() {
            40 => Ok(Self(serial_no.to_ascii_uppercase().into())),
            38 => Ok(Self(format!("00{}", serial_no.to_ascii_uppercase()).into())),
            length => Err(SerialNoError::WrongLength { length }),
        }
    }

    /// Returns the placeholder serial of a key that has no certificate yet: 40 zeros.
    ///
    /// The signatures of such a key are valid only in a certificate request; a client refuses to send
    /// requests with this serial.
    pub fn uncertified() -> Self {
        Self("0".repeat(40).into())
    }

    /// Returns whether it is the placeholder of a key that has no certificate yet.
    pub fn is_uncertified(&self) -> bool {
        self.0.bytes().all(|digit| digit == b'0')
    }

    /// Creates the number from the big-endian bytes of a certificate's serial number.
    pub(crate) fn from_be_bytes(bytes: &[u8]) -> Result<Self, SerialNoError> {
        let mut hex = String::with_capacity(40);
        for byte in bytes.iter().skip_while(|b| **b == 0) {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02X}");
        }
        if hex.len() > 40 {
            return Err(SerialNoError::WrongLength { length: hex.len() });
        }
        Ok(Self(format!("{hex:0>40}").into()))
    }

    /// Returns the 40 digits without copying.
    pub(crate) fn into_digits(self) -> Arc<str> {
        self.0
    }

    /// Returns the 40 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SerialNo {
    type Err = SerialNoError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}

impl fmt::Display for SerialNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SerialNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialNo({})", self.0)
    }
}

/// Why a certificate serial number is invalid.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SerialNoError {
    /// It does not have 40 digits.
    #[error("serial_no has {length} characters, 40 are needed")]
    WrongLength {
        /// Its length in characters.
        length: usize,
    },
    /// It has a character other than a hexadecimal digit.
    #[error("serial_no has a character other than a hexadecimal digit at position {position}")]
    NotHex {
        /// The position of the first such character, from 0.
        position: usize,
    },
    /// It has an invisible character.
    #[error("serial_no has an invisible character in it ({})", Number(*character))]
    #[non_exhaustive]
    Invisible {
        /// The character, such as `U+FEFF`.
        character: char,
    },
    /// It is the id of a WeChat Pay public key.
    #[error("serial_no is the id of a WeChat Pay public key, not of a merchant certificate")]
    PublicKeyId,
}

impl SerialNoError {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::PublicKeyId => {
                "PUB_KEY_ID_… belongs to the key that verifies responses; the signer needs the serial \
                 of the merchant API certificate: openssl x509 -in apiclient_cert.pem -noout -serial"
            }
            Self::Invisible { .. } => {
                "type it again: it was copied together with an invisible character"
            }
            _ => {
                "give the 40 hexadecimal digits that this prints, without colons: \
                 openssl x509 -in apiclient_cert.pem -noout -serial"
            }
        }
    }
}

debug_as_report!(SerialNoError);
serde_as_text!(SerialNo);

#[cfg(test)]
mod tests {
    use super::*;

    const SERIAL: &str = "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB";

    #[test]
    fn a_serial_number_is_40_hexadecimal_digits() {
        assert_eq!(SerialNo::new(SERIAL).unwrap().as_str(), SERIAL);
        assert_eq!(SerialNo::new(SERIAL.to_lowercase()).unwrap().as_str(), SERIAL);
        assert_eq!(SerialNo::new(""), Err(SerialNoError::WrongLength { length: 0 }));
        assert_eq!(SerialNo::new(&SERIAL[1..]), Err(SerialNoError::WrongLength { length: 39 }));
        let zero = format!("00{}", &SERIAL[2..]);
        assert_eq!(SerialNo::new(SERIAL[2..].to_lowercase()).unwrap().as_str(), zero);
        assert_eq!(SerialNo::new(&SERIAL[4..]), Err(SerialNoError::WrongLength { length: 36 }));
        for unseen in [format!("\u{feff}{SERIAL}"), format!("{SERIAL}\u{200b}")] {
            let error = SerialNo::new(unseen).unwrap_err();
            assert!(error.to_string().contains("invisible character in it (U+"), "{error}");
            assert!(error.hint().contains("type it again"));
        }
        assert_eq!(SerialNo::new("40:8B"), Err(SerialNoError::NotHex { position: 2 }));
        assert_eq!(SerialNo::new("PUB_KEY_ID_01"), Err(SerialNoError::PublicKeyId));
        assert!(SerialNo::new(format!("{SERIAL}\n")).is_err());
    }

    #[test]
    fn a_certificate_serial_is_padded_to_40_digits() {
        assert_eq!(
            SerialNo::from_be_bytes(&[0, 0x0a, 0xff]).unwrap().as_str(),
            "0000000000000000000000000000000000000AFF"
        );
        assert!(SerialNo::from_be_bytes(&[1; 21]).is_err());
        let mut sign_byte = vec![0];
        sign_byte.extend([0x9f; 20]);
        assert_eq!(SerialNo::from_be_bytes(&sign_byte).unwrap().as_str(), "9F".repeat(20));
    }
}
