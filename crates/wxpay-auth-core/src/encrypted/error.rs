//! Why a resource was not decrypted.

use std::error::Error as StdError;

use thiserror::Error;

use crate::text::{debug_as_report, foreign_text};

/// Why a resource was not decrypted. Nothing of it may be used.
#[derive(Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// The algorithm is not one that this key is for.
    #[error("the resource is encrypted with {algorithm}, not with AEAD_AES_256_GCM")]
    #[non_exhaustive]
    Algorithm {
        /// The algorithm, shortened.
        algorithm: String,
    },
    /// The nonce does not have 12 bytes.
    #[error("the nonce of the resource has {length} bytes; it must have 12")]
    #[non_exhaustive]
    Nonce {
        /// Its length, in bytes.
        length: usize,
    },
    /// The ciphertext is not Base64, or too short for a tag.
    #[error("the ciphertext of the resource is no Base64 of at least 16 bytes")]
    Ciphertext,
    /// The tag does not match: another key, or the resource was changed on its way.
    #[error("the resource does not match its authentication tag")]
    Mismatch,
    /// The service or token that holds the key failed.
    #[error("the key that decrypts is not available")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
}

impl DecryptError {
    /// Creates an error for another algorithm. It is a text from outside: it is shortened, and shown in one line.
    pub fn algorithm(algorithm: &str) -> Self {
        const LONGEST: usize = 40;
        Self::Algorithm { algorithm: foreign_text(algorithm, LONGEST, &[]) }
    }

    /// Creates an error for a nonce of a wrong length, in bytes.
    pub fn nonce(length: usize) -> Self {
        Self::Nonce { length }
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Algorithm { .. } => {
                "an account with SM2 needs a decryptor for its algorithm; otherwise report it"
            }
            Self::Nonce { .. } | Self::Ciphertext => {
                "check that the message comes from WeChat Pay, and that nothing shortens it"
            }
            Self::Mismatch => {
                "check that the APIv3 key is that of this mchid and was not set anew since; it is set on the \
                 merchant platform, and cannot be read there"
            }
            Self::Unavailable(_) => "check the service or token that holds the APIv3 key",
        }
    }
}

debug_as_report!(DecryptError);
