//! RSAES-OAEP with SHA-1, as WeChat Pay uses it, on `aws-lc-rs`.

use std::fmt;

use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
use pkcs1::der::Encode;

use crate::keys::{KeyError, KeyMaterial, PublicKey};

/// A public key that encrypts.
pub struct OaepPublicKey(OaepPublicEncryptingKey);

impl OaepPublicKey {
    /// Prepares a key.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] if `aws-lc-rs` does not accept it.
    pub fn new(key: &PublicKey) -> Result<Self, KeyError> {
        let refused = || KeyError::Malformed {
            material: KeyMaterial::PublicKey,
            reason: "aws-lc-rs does not accept it",
        };
        let spki = key.to_spki().and_then(|spki| spki.to_der()).map_err(|_| refused())?;
        let key = PublicEncryptingKey::from_der(&spki).map_err(|_| refused())?;
        OaepPublicEncryptingKey::new(key).map(Self).map_err(|_| refused())
    }

    /// Returns the maximum length of a plaintext in bytes.
    pub fn most_bytes(&self) -> usize {
        self.0.max_plaintext_size(&OAEP_SHA1_MGF1SHA1)
    }

    /// Encrypts bytes; `None` if they are too long.
    pub fn encrypt(&self, plaintext: &[u8]) -> Option<Vec<u8>> {
        let mut ciphertext = vec![0; self.0.ciphertext_size()];
        let encrypted = self.0.encrypt(&OAEP_SHA1_MGF1SHA1, plaintext, &mut ciphertext, None);
        let length = encrypted.ok()?.len();
        ciphertext.truncate(length);
        Some(ciphertext)
    }
}

impl fmt::Debug for OaepPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OaepPublicKey").finish_non_exhaustive()
    }
}

#[cfg(feature = "file-key")]
pub use self::private::OaepPrivateKey;

#[cfg(feature = "file-key")]
mod private {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::{
        KeyPair, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey,
    };
    use zeroize::Zeroizing;

    /// A private key that decrypts.
    pub struct OaepPrivateKey(OaepPrivateDecryptingKey);

    impl OaepPrivateKey {
        /// Prepares a key; `None` if the library fails.
        pub(in crate::keys) fn new(key: &KeyPair) -> Option<Self> {
            // Zeroed when it is dropped.
            let pkcs8 = key.as_der().ok()?;
            let key = PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref()).ok()?;
            OaepPrivateDecryptingKey::new(key).ok().map(Self)
        }

        /// Decrypts bytes; `None` if they were encrypted for another key, or in another way, or were changed.
        pub fn decrypt(&self, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
            let mut plaintext = Zeroizing::new(vec![0; self.0.min_output_size()]);
            let decrypted = self.0.decrypt(&OAEP_SHA1_MGF1SHA1, ciphertext, &mut plaintext, None);
            let length = decrypted.ok()?.len();
            plaintext.truncate(length);
            Some(plaintext)
        }
    }

    impl std::fmt::Debug for OaepPrivateKey {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("OaepPrivateKey").finish_non_exhaustive()
        }
    }
}
