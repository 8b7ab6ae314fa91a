//! The APIv3 key in memory.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::error::Unspecified;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::encrypted::decryptor::ResourceDecryptor;
use crate::encrypted::encrypted_resource::{AEAD_AES_256_GCM, EncryptedResource};
use crate::encrypted::error::DecryptError;
use crate::text::debug_as_report;

/// The length of the key, in bytes.
const LENGTH: usize = 32;

/// An APIv3 key (APIv3密钥), with which WeChat Pay encrypts platform certificates and notifications
/// (AES-256-GCM, on `ring`).
///
/// Neither `Debug` nor an error shows it. It is zeroed when it is dropped; the key schedule that `ring` makes of it
/// for each resource, on the stack, is not.
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// use wxpay_auth::{ApiV3Key, EncryptedResource};
///
/// // In production: from a secret store or a file, not from the source.
/// let key = ApiV3Key::new("a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb")?;
/// let resource = EncryptedResource::aes_256_gcm(
///     "uluk4a9R25RW",
///     Some("associatedData".into()),
///     "ulwSiIajGClcvcOYvOQ7+l+0PAbzzwI=",
/// );
/// assert_eq!(key.open(&resource)?, b"message");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012082570>
// Boxed: a value that is moved leaves a copy behind, which nothing zeroes.
pub struct ApiV3Key(Box<Zeroizing<[u8; LENGTH]>>);

impl ApiV3Key {
    /// Takes a key as it was set on the merchant platform.
    ///
    /// # Errors
    /// [`ApiV3KeyError`] if it does not have 32 letters and digits.
    pub fn new(key: impl AsRef<str>) -> Result<Self, ApiV3KeyError> {
        let key = key.as_ref();
        if let Some(position) = key.bytes().position(|byte| !byte.is_ascii_alphanumeric()) {
            return Err(ApiV3KeyError::NotAllowed { position });
        }
        let mut bytes = Box::new(Zeroizing::new([0; LENGTH]));
        if key.len() != LENGTH {
            return Err(ApiV3KeyError::Length { length: key.len() });
        }
        bytes.copy_from_slice(key.as_bytes());
        Ok(Self(bytes))
    }

    /// Decrypts a resource, and checks its tag.
    ///
    /// # Errors
    /// [`DecryptError`], never [`DecryptError::Unavailable`].
    pub fn open(&self, resource: &EncryptedResource<'_>) -> Result<Vec<u8>, DecryptError> {
        if resource.algorithm != AEAD_AES_256_GCM {
            return Err(DecryptError::algorithm(&resource.algorithm));
        }
        let nonce = nonce(&resource.nonce)?;
        let decoded = STANDARD.decode(resource.ciphertext.as_bytes());
        let mut bytes = decoded.map_err(|_| DecryptError::Ciphertext)?;
        if bytes.len() < AES_256_GCM.tag_len() {
            return Err(DecryptError::Ciphertext);
        }
        let additional = Aad::from(resource.additional_bytes());
        let key = self.key().map_err(|_| DecryptError::Mismatch)?;
        let opened = key.open_in_place(nonce, additional, &mut bytes);
        let length = opened.map_err(|_| DecryptError::Mismatch)?.len();
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Encrypts bytes as WeChat Pay does, for tests of an application. A nonce must never be used twice with a key.
    ///
    /// # Errors
    /// [`DecryptError::Nonce`] if the nonce does not have 12 bytes.
    pub fn seal<'a>(
        &self,
        nonce: &'a str,
        associated_data: Option<&'a str>,
        plaintext: &[u8],
    ) -> Result<EncryptedResource<'a>, DecryptError> {
        let mut bytes = plaintext.to_vec();
        let additional = Aad::from(associated_data.unwrap_or_default().as_bytes());
        let iv = self::nonce(nonce)?;
        self.key()
            .and_then(|key| key.seal_in_place_append_tag(iv, additional, &mut bytes))
            .map_err(|_| DecryptError::Ciphertext)?;
        let ciphertext = STANDARD.encode(bytes);
        Ok(EncryptedResource::aes_256_gcm(nonce, associated_data.map(Into::into), ciphertext))
    }

    /// It never fails: the length is right.
    fn key(&self) -> Result<LessSafeKey, Unspecified> {
        UnboundKey::new(&AES_256_GCM, &**self.0).map(LessSafeKey::new)
    }
}

fn nonce(text: &str) -> Result<Nonce, DecryptError> {
    let bytes: [u8; NONCE_LEN] =
        text.as_bytes().try_into().map_err(|_| DecryptError::nonce(text.len()))?;
    Ok(Nonce::assume_unique_for_key(bytes))
}

#[async_trait]
impl ResourceDecryptor for ApiV3Key {
    async fn decrypt(&self, resource: &EncryptedResource<'_>) -> Result<Vec<u8>, DecryptError> {
        self.open(resource)
    }
}

impl FromStr for ApiV3Key {
    type Err = ApiV3KeyError;

    fn from_str(key: &str) -> Result<Self, ApiV3KeyError> {
        Self::new(key)
    }
}

impl fmt::Debug for ApiV3Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiV3Key(…)")
    }
}

/// Why a text is not an APIv3 key. Shows nothing of it.
#[derive(Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiV3KeyError {
    /// Its length is wrong.
    #[error("the APIv3 key has {length} characters; it must have 32")]
    #[non_exhaustive]
    Length {
        /// Its length, in bytes.
        length: usize,
    },
    /// It has a character other than letters and digits.
    #[error("the APIv3 key has a character other than letters and digits at position {position}")]
    #[non_exhaustive]
    NotAllowed {
        /// The position of the first such character, in bytes, from 0.
        position: usize,
    },
}

impl ApiV3KeyError {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Length { .. } => {
                "give the APIv3 key (APIv3密钥), not the older API key, a certificate or a path; if it is lost, \
                 set it anew on the merchant platform"
            }
            Self::NotAllowed { .. } => {
                "copy it again, without quotes, blanks and line ends: it has 32 letters and digits"
            }
        }
    }
}

debug_as_report!(ApiV3KeyError);

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb";
    /// The vector of wechatpay-java; see testdata/ORIGIN.md.
    const NONCE: &str = include_str!("../../testdata/aes_256_gcm/java-aead/nonce");
    const ASSOCIATED: &str = include_str!("../../testdata/aes_256_gcm/java-aead/associated_data");
    const CIPHERTEXT: &str = include_str!("../../testdata/aes_256_gcm/java-aead/ciphertext");
    const PLAINTEXT: &str = include_str!("../../testdata/aes_256_gcm/java-aead/plaintext");

    fn key() -> ApiV3Key {
        ApiV3Key::new(KEY).unwrap()
    }

    fn resource() -> EncryptedResource<'static> {
        EncryptedResource::aes_256_gcm(NONCE, Some(ASSOCIATED.into()), CIPHERTEXT)
    }

    #[test]
    fn the_vector_is_opened_and_sealed() {
        assert_eq!(key().open(&resource()).unwrap(), PLAINTEXT.as_bytes());
        let sealed = key().seal(NONCE, Some(ASSOCIATED), PLAINTEXT.as_bytes()).unwrap();
        assert_eq!(sealed, resource());
    }

    #[test]
    fn what_was_changed_is_refused() {
        let mut tampered = STANDARD.decode(CIPHERTEXT).unwrap();
        tampered[0] ^= 1;
        let mut cut = STANDARD.decode(CIPHERTEXT).unwrap();
        cut.pop();
        for changed in [
            EncryptedResource { ciphertext: STANDARD.encode(tampered).into(), ..resource() },
            EncryptedResource { ciphertext: STANDARD.encode(cut).into(), ..resource() },
            EncryptedResource { associated_data: None, ..resource() },
            EncryptedResource { associated_data: Some("other".into()), ..resource() },
            EncryptedResource { nonce: "uluk4a9R25RX".into(), ..resource() },
        ] {
            let error = key().open(&changed).unwrap_err();
            assert!(matches!(error, DecryptError::Mismatch), "{changed:?}: {error}");
        }
        let other = ApiV3Key::new("b7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb").unwrap();
        assert!(matches!(other.open(&resource()), Err(DecryptError::Mismatch)));
    }

    #[test]
    fn what_cannot_be_a_resource_is_named() {
        let algorithm = EncryptedResource { algorithm: "AEAD_SM4_GCM".into(), ..resource() };
        let error = key().open(&algorithm).unwrap_err().to_string();
        assert_eq!(error, "the resource is encrypted with AEAD_SM4_GCM, not with AEAD_AES_256_GCM");
        for length in [0, 11, 13, 16] {
            let nonce = EncryptedResource { nonce: "n".repeat(length).into(), ..resource() };
            let error = key().open(&nonce).unwrap_err();
            assert!(matches!(error, DecryptError::Nonce { length: said } if said == length));
        }
        for ciphertext in ["", "AAAA", "no Base64!", "ulwSiIajGClcvcOYvOQ7+l+0PAbzzwI"] {
            let short = EncryptedResource { ciphertext: ciphertext.into(), ..resource() };
            assert!(matches!(key().open(&short), Err(DecryptError::Ciphertext)), "{ciphertext}");
        }
    }

    #[test]
    fn absent_and_empty_associated_data_are_the_same() {
        let sealed = key().seal(NONCE, None, b"x").unwrap();
        let empty = EncryptedResource { associated_data: Some("".into()), ..sealed.clone() };
        assert_eq!(key().open(&sealed).unwrap(), key().open(&empty).unwrap());
    }

    #[test]
    fn nothing_is_a_key_but_32_letters_and_digits_and_it_is_not_shown() {
        for length in [0, 16, 31, 33, 64] {
            let error = ApiV3Key::new("k".repeat(length)).unwrap_err();
            assert_eq!(error, ApiV3KeyError::Length { length });
        }
        let error = ApiV3Key::new(format!("{}\n", &KEY[..31])).unwrap_err();
        assert_eq!(error, ApiV3KeyError::NotAllowed { position: 31 });
        assert!(!format!("{error:?} {:?}", key()).contains(&KEY[..4]));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn it_is_read_from_json_with_null_absent_and_unknown_fields() {
        for associated in [r#""associated_data":null,"#, r#""associated_data":"","#, ""] {
            let sealed = key().seal(NONCE, None, "名称".as_bytes()).unwrap();
            let json = format!(
                r#"{{"original_type":"x",{associated}"algorithm":"AEAD_AES_256_GCM",
                "nonce":"{NONCE}","ciphertext":"{}"}}"#,
                sealed.ciphertext
            );
            let resource: EncryptedResource<'_> = serde_json::from_str(&json).unwrap();
            assert_eq!(key().open(&resource).unwrap(), "名称".as_bytes());
        }
    }
}
