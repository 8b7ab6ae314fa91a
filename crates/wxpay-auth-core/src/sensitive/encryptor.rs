//! Encrypts fields with a key of WeChat Pay.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::keys::oaep::OaepPublicKey;
use crate::keys::{Certificate, KeyError, PublicKey};
use crate::sensitive::{EncryptedField, FieldEncryptError};
use crate::wechatpay_serial::WechatpaySerial;

/// Encrypts sensitive fields (敏感信息) of a request with WeChat Pay's public key or a platform certificate:
/// RSAES-OAEP with SHA-1 and MGF1 with SHA-1, no label, on `aws-lc-rs`.
///
/// A text has at most 214 bytes in UTF-8. Encrypting takes some 20 µs, on the calling thread. Clones share the key.
///
/// [`KeyRing::field_encryptor`](crate::KeyRing::field_encryptor) returns one for the key that a client should use
/// now. Take a new one for each request, so that an exchanged key is no longer used; use the same one for all fields
/// of a request.
///
/// Sources: <https://pay.weixin.qq.com/doc/v3/partner/4013059044>,
/// <https://pay.weixin.qq.com/doc/v3/partner/4013059053>
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::{FieldEncryptor, PublicKey};
///
/// # let pem = include_str!("../../testdata/keys/wechatpay_pub_key_doc.pem");
/// let id = "PUB_KEY_ID_0000000000000024101100397200000006".parse()?;
/// let encryptor = FieldEncryptor::with_public_key(id, &PublicKey::from_pem(pem)?)?;
/// let field = encryptor.encrypt("张三")?;
/// assert_eq!(field.serial(), encryptor.serial());
/// assert_eq!(field.ciphertext().len(), 344);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FieldEncryptor {
    serial: WechatpaySerial,
    key: Arc<OaepPublicKey>,
}

impl FieldEncryptor {
    /// Encrypts with WeChat Pay's public key.
    ///
    /// # Errors
    /// [`KeyError::NotPublicKeyId`] if the id is not `PUB_KEY_ID_…`.
    pub fn with_public_key(id: WechatpaySerial, key: &PublicKey) -> Result<Self, KeyError> {
        if id.is_public_key_id() { Self::new(id, key) } else { Err(KeyError::NotPublicKeyId) }
    }

    /// Encrypts with a platform certificate. With several, the one that became valid last is to be used. Whether it
    /// is valid now is not checked here: [`KeyRing::field_encryptor`](crate::KeyRing::field_encryptor) does both.
    ///
    /// # Errors
    /// [`KeyError::MerchantCertificate`] if it is the merchant's own.
    pub fn with_certificate(certificate: &Certificate) -> Result<Self, KeyError> {
        let serial_no = certificate.serial_no().clone();
        if certificate.is_merchants() {
            return Err(KeyError::MerchantCertificate { serial_no });
        }
        Self::new(serial_no.into(), certificate.public_key())
    }

    pub(crate) fn new(serial: WechatpaySerial, key: &PublicKey) -> Result<Self, KeyError> {
        Ok(Self { serial, key: Arc::new(OaepPublicKey::new(key)?) })
    }

    /// Returns the id of the key.
    pub fn serial(&self) -> &WechatpaySerial {
        &self.serial
    }

    /// Returns the maximum length of a text, in bytes of UTF-8: 214 for a key of 2048 bits.
    pub fn most_bytes(&self) -> usize {
        self.key.most_bytes()
    }

    /// Encrypts a text. Each call returns another ciphertext.
    ///
    /// # Errors
    /// [`FieldEncryptError::TooLong`] if the text has more than [`most_bytes`](Self::most_bytes).
    pub fn encrypt(&self, text: impl AsRef<str>) -> Result<EncryptedField, FieldEncryptError> {
        let (text, most) = (text.as_ref(), self.most_bytes());
        if text.len() > most {
            return Err(FieldEncryptError::TooLong { length: text.len(), most });
        }
        let bytes = self.key.encrypt(text.as_bytes()).ok_or(FieldEncryptError::Failed)?;
        Ok(EncryptedField::new(self.serial.clone(), STANDARD.encode(bytes)))
    }
}

impl fmt::Debug for FieldEncryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldEncryptor").field("serial", &self.serial).finish_non_exhaustive()
    }
}
