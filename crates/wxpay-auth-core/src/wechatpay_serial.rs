//! Ids of WeChat Pay's signing keys.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::serial_no::SerialNo;
use crate::text::{Number, debug_as_report, invisible, serde_as_text};

/// The value of a `Wechatpay-Serial` header: the WeChat Pay key that signed, or may sign.
///
/// Either the id of a WeChat Pay public key (微信支付公钥ID, `PUB_KEY_ID_` and digits) or the serial
/// number of a platform certificate (平台证书序列号, hexadecimal digits in upper case, usually 40).
///
/// Serials are compared as numbers: leading zeros and case make no difference. The digits are kept as
/// given: none is added or removed before it is sent to WeChat Pay.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4013053249>
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::WechatpaySerial;
///
/// let id: WechatpaySerial = "PUB_KEY_ID_0000000000000024101100397200000006".parse()?;
/// assert!(id.is_public_key_id());
/// let serial: WechatpaySerial = "0C4AEF34B89340881BB2B25226393DC2E47F094B".parse()?;
/// assert_eq!(serial, "C4AEF34B89340881BB2B25226393DC2E47F094B".parse()?);
/// # Ok::<(), wxpay_auth::WechatpaySerialError>(())
/// ```
#[derive(Clone)]
pub struct WechatpaySerial(Arc<str>);

const PUBLIC_KEY_PREFIX: &str = "PUB_KEY_ID_";

/// Maximum length of an id, with the prefix not counted.
const MAX_LENGTH: usize = 100;

/// A serial has at most 20 bytes.
const MAX_DIGITS: usize = 40;

impl WechatpaySerial {
    /// Validates the id of a WeChat Pay key; a certificate serial is converted to upper case.
    ///
    /// # Errors
    /// [`WechatpaySerialError`] if it is neither `PUB_KEY_ID_` followed by 1 to 100 letters, digits, `_`
    /// or `-`, nor 1 to 40 hexadecimal digits, optionally preceded by zeros.
    pub fn new(serial: impl AsRef<str>) -> Result<Self, WechatpaySerialError> {
        let serial = serial.as_ref();
        if let Some(character) = invisible(serial) {
            return Err(WechatpaySerialError::Invisible { character });
        }
        if let Some(rest) = serial.strip_prefix(PUBLIC_KEY_PREFIX) {
            let plain = rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            return if plain && (1..=MAX_LENGTH).contains(&rest.len()) {
                Ok(Self(serial.into()))
            } else {
                Err(WechatpaySerialError::MalformedPublicKeyId)
            };
        }
        let is_hex = serial.bytes().all(|b| b.is_ascii_hexdigit());
        let fits = (1..=MAX_LENGTH).contains(&serial.len()) && digits(serial).len() <= MAX_DIGITS;
        if is_hex && fits {
            Ok(Self(serial.to_ascii_uppercase().into()))
        } else {
            Err(WechatpaySerialError::Malformed)
        }
    }

    /// Returns the id as in the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it identifies a public key (`PUB_KEY_ID_…`) rather than a platform certificate.
    pub fn is_public_key_id(&self) -> bool {
        self.0.starts_with(PUBLIC_KEY_PREFIX)
    }

    /// Returns the sort key. A number with more digits is larger, and any number precedes the ids of public
    /// keys, which are compared as text.
    fn order(&self) -> (bool, usize, &str) {
        if self.is_public_key_id() {
            (true, 0, &self.0)
        } else {
            let digits = digits(&self.0);
            (false, digits.len(), digits)
        }
    }
}

/// Removes leading zeros.
fn digits(serial: &str) -> &str {
    serial.trim_start_matches('0')
}

impl PartialEq for WechatpaySerial {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for WechatpaySerial {}

impl Hash for WechatpaySerial {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.order().hash(state);
    }
}

impl PartialOrd for WechatpaySerial {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for WechatpaySerial {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl From<SerialNo> for WechatpaySerial {
    fn from(serial: SerialNo) -> Self {
        Self(serial.into_digits())
    }
}

impl FromStr for WechatpaySerial {
    type Err = WechatpaySerialError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}

impl fmt::Display for WechatpaySerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WechatpaySerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WechatpaySerial({})", self.0)
    }
}

/// Why the id of a WeChat Pay key is invalid.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WechatpaySerialError {
    /// It begins with `PUB_KEY_ID_`, and the rest is invalid.
    #[error("the id of the WeChat Pay public key is malformed after PUB_KEY_ID_")]
    MalformedPublicKeyId,
    /// It has an invisible character.
    #[error("the id of the WeChat Pay key has an invisible character in it ({})", Number(*character))]
    #[non_exhaustive]
    Invisible {
        /// The character, such as `U+FEFF`.
        character: char,
    },
    /// It is neither the id of a public key nor a number of up to 40 hexadecimal digits.
    #[error("neither the id of a WeChat Pay public key nor the serial of a platform certificate")]
    Malformed,
}

impl WechatpaySerialError {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        if let Self::Invisible { .. } = self {
            return "type it again: it was copied together with an invisible character";
        }
        "give PUB_KEY_ID_… as the merchant platform shows it (账户中心 > API安全 > 微信支付公钥), or the \
         40 hexadecimal digits of a platform certificate's serial"
    }
}

debug_as_report!(WechatpaySerialError);
serde_as_text!(WechatpaySerial);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_id_are_read() {
        let id = WechatpaySerial::new("PUB_KEY_ID_0000000000000024101100397200000006").unwrap();
        assert!(id.is_public_key_id());
        let serial = WechatpaySerial::new("440024045c4a427599d09bb4e3de0279f2e813fd").unwrap();
        assert_eq!(serial.as_str(), "440024045C4A427599D09BB4E3DE0279F2E813FD");
        assert!(!serial.is_public_key_id());
        let error = WechatpaySerial::new("\u{feff}PUB_KEY_ID_01").unwrap_err();
        assert!(error.to_string().ends_with("invisible character in it (U+FEFF)"), "{error}");
    }

    #[test]
    fn serials_are_numbers() {
        let serial = |text: &str| WechatpaySerial::new(text).unwrap();
        let hash = |serial: &WechatpaySerial| {
            let mut hasher = std::hash::DefaultHasher::new();
            serial.hash(&mut hasher);
            hasher.finish()
        };
        let whole = serial("0C4AEF34B89340881BB2B25226393DC2E47F094B");
        for same in [
            "C4AEF34B89340881BB2B25226393DC2E47F094B",
            "0c4aef34b89340881bb2b25226393dc2e47f094b",
            "000C4AEF34B89340881BB2B25226393DC2E47F094B",
            &format!("{}C4AEF34B89340881BB2B25226393DC2E47F094B", "0".repeat(61)),
        ] {
            let other = serial(same);
            assert_eq!((&other, hash(&other)), (&whole, hash(&whole)), "{same}");
            assert_eq!(other.as_str(), same.to_uppercase(), "its digits stay");
        }
        assert_ne!(serial("C4AEF34B89340881BB2B25226393DC2E47F094B0"), whole);
        assert!(serial("FF") < serial("0100") && serial("0100") < serial("PUB_KEY_ID_0"));
        assert_ne!(serial("PUB_KEY_ID_01"), serial("PUB_KEY_ID_1"), "an id is no number");
    }

    #[test]
    fn anything_else_is_refused() {
        let (too_large, too_long) = ("1".repeat(41), "0".repeat(101));
        for given in
            ["", "PUB_KEY_ID", "pub_key_id_1", "44:00", "1\r\nX: y", "+1", &too_large, &too_long]
        {
            assert_eq!(
                WechatpaySerial::new(given),
                Err(WechatpaySerialError::Malformed),
                "{given}"
            );
        }
        for given in ["PUB_KEY_ID_", "PUB_KEY_ID_1 ", "PUB_KEY_ID_1\n", "PUB_KEY_ID_\u{661}"] {
            assert_eq!(
                WechatpaySerial::new(given),
                Err(WechatpaySerialError::MalformedPublicKeyId)
            );
        }
    }
}
