//! Ids of the keys that WeChat Pay signs with.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::serial_no::SerialNo;

/// Holds the value of a `Wechatpay-Serial` header: which WeChat Pay key signed, or may sign.
///
/// It is either the id of a WeChat Pay public key (微信支付公钥ID, `PUB_KEY_ID_` and digits) or the
/// serial number of a platform certificate (平台证书序列号, 40 hexadecimal digits in upper case).
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4013053249>
///
/// ```
/// use wxpay_auth::WechatpaySerial;
///
/// let id: WechatpaySerial = "PUB_KEY_ID_0000000000000024101100397200000006".parse()?;
/// assert!(id.is_public_key_id());
/// # Ok::<(), wxpay_auth::WechatpaySerialError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WechatpaySerial(Arc<str>);

const PUBLIC_KEY_PREFIX: &str = "PUB_KEY_ID_";

impl WechatpaySerial {
    /// Validates the id of a WeChat Pay key; a certificate serial is turned into upper case.
    ///
    /// # Errors
    /// [`WechatpaySerialError`] when it is neither `PUB_KEY_ID_` followed by 1 to 100 letters,
    /// digits, `_` or `-`, nor 40 hexadecimal digits.
    pub fn new(serial: impl AsRef<str>) -> Result<Self, WechatpaySerialError> {
        let serial = serial.as_ref();
        if let Some(rest) = serial.strip_prefix(PUBLIC_KEY_PREFIX) {
            let plain = rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            return if plain && (1..=100).contains(&rest.len()) {
                Ok(Self(serial.into()))
            } else {
                Err(WechatpaySerialError::MalformedPublicKeyId)
            };
        }
        match SerialNo::new(serial) {
            Ok(serial) => Ok(Self(serial.as_str().into())),
            Err(_) => Err(WechatpaySerialError::Malformed),
        }
    }

    /// Returns the id as it stands in the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether it names a public key (`PUB_KEY_ID_…`) rather than a platform certificate.
    pub fn is_public_key_id(&self) -> bool {
        self.0.starts_with(PUBLIC_KEY_PREFIX)
    }
}

impl From<SerialNo> for WechatpaySerial {
    fn from(serial: SerialNo) -> Self {
        Self(serial.as_str().into())
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

/// Says what is wrong with the id of a WeChat Pay key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WechatpaySerialError {
    /// It begins with `PUB_KEY_ID_`, and goes on with something that no id has.
    #[error("the id of the WeChat Pay public key is malformed after PUB_KEY_ID_")]
    MalformedPublicKeyId,
    /// It is neither the id of a public key nor 40 hexadecimal digits.
    #[error("neither the id of a WeChat Pay public key nor the serial of a platform certificate")]
    Malformed,
}

impl WechatpaySerialError {
    /// Says what to do.
    pub fn hint(&self) -> &'static str {
        "give PUB_KEY_ID_… as the merchant platform shows it (账户中心 > API安全 > 微信支付公钥), or the \
         40 hexadecimal digits of a platform certificate's serial"
    }
}

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
    }

    #[test]
    fn anything_else_is_refused() {
        for given in ["", "PUB_KEY_ID", "pub_key_id_1", "4400", "1\r\nX: y"] {
            assert_eq!(WechatpaySerial::new(given), Err(WechatpaySerialError::Malformed));
        }
        for given in ["PUB_KEY_ID_", "PUB_KEY_ID_1 ", "PUB_KEY_ID_1\n", "PUB_KEY_ID_\u{661}"] {
            assert_eq!(
                WechatpaySerial::new(given),
                Err(WechatpaySerialError::MalformedPublicKeyId)
            );
        }
    }
}
