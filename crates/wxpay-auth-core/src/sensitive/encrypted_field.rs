//! An encrypted field on its way to WeChat Pay.

use std::fmt;

use crate::wechatpay_serial::WechatpaySerial;

/// A field that was encrypted for WeChat Pay, with the id of the key that it was encrypted for.
///
/// WeChat Pay decrypts with the key that the request's `Wechatpay-Serial` names, so the id travels with the
/// ciphertext. All encrypted fields of a request must be for the same key.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4013059044>
#[derive(Clone, PartialEq, Eq)]
pub struct EncryptedField {
    serial: WechatpaySerial,
    ciphertext: String,
}

impl EncryptedField {
    /// Combines a ciphertext in standard Base64 (RSAES-OAEP with SHA-1) with the id of the WeChat Pay key that it
    /// was encrypted for. For a field that something else has encrypted; `FieldEncryptor` (feature `aws-lc-rs`)
    /// creates it otherwise.
    pub fn new(serial: WechatpaySerial, ciphertext: impl Into<String>) -> Self {
        Self { serial, ciphertext: ciphertext.into() }
    }

    /// Returns the id of the key, which the request sends as its `Wechatpay-Serial`.
    pub fn serial(&self) -> &WechatpaySerial {
        &self.serial
    }

    /// Returns the ciphertext in standard Base64, as it is written into the JSON of the request.
    pub fn ciphertext(&self) -> &str {
        &self.ciphertext
    }
}

/// Shows the length of the ciphertext only.
impl fmt::Debug for EncryptedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedField")
            .field("serial", &self.serial)
            .field("ciphertext", &format_args!("{} characters", self.ciphertext.len()))
            .finish()
    }
}
