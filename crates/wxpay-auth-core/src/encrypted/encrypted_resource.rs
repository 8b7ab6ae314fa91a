//! The encrypted part of a message.

use std::borrow::Cow;
use std::fmt;

/// The algorithm of an account without SM2.
pub(super) const AEAD_AES_256_GCM: &str = "AEAD_AES_256_GCM";

/// The fields of an encrypted platform certificate (`encrypt_certificate`) or notification (`resource`), as they
/// are in the JSON. With the feature `serde` it is read from there; fields that it does not know are ignored.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012082570>
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct EncryptedResource<'a> {
    /// The algorithm: `AEAD_AES_256_GCM`.
    #[cfg_attr(feature = "serde", serde(borrow))]
    pub algorithm: Cow<'a, str>,
    /// The initialisation vector: its bytes as they are, 12 of them. It has nothing to do with the nonce of a
    /// signature.
    #[cfg_attr(feature = "serde", serde(borrow))]
    pub nonce: Cow<'a, str>,
    /// What is authenticated, and not encrypted. Absent, `null` and empty are the same.
    #[cfg_attr(feature = "serde", serde(borrow, default))]
    pub associated_data: Option<Cow<'a, str>>,
    /// The encrypted bytes and the tag of 16 bytes, in Base64.
    #[cfg_attr(feature = "serde", serde(borrow))]
    pub ciphertext: Cow<'a, str>,
}

impl<'a> EncryptedResource<'a> {
    /// Takes the fields for `AEAD_AES_256_GCM`.
    pub fn aes_256_gcm(
        nonce: impl Into<Cow<'a, str>>,
        associated_data: Option<Cow<'a, str>>,
        ciphertext: impl Into<Cow<'a, str>>,
    ) -> Self {
        Self {
            algorithm: AEAD_AES_256_GCM.into(),
            nonce: nonce.into(),
            associated_data,
            ciphertext: ciphertext.into(),
        }
    }

    /// Returns the bytes that are authenticated.
    pub fn additional_bytes(&self) -> &[u8] {
        self.associated_data.as_deref().unwrap_or_default().as_bytes()
    }
}

/// Shows the length of the ciphertext only.
impl fmt::Debug for EncryptedResource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptedResource")
            .field("algorithm", &self.algorithm)
            .field("nonce", &self.nonce)
            .field("associated_data", &self.associated_data)
            .field("ciphertext", &format_args!("{} characters", self.ciphertext.len()))
            .finish()
    }
}
