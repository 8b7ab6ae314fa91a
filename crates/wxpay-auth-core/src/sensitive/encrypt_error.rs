//! Why a field was not encrypted.

use thiserror::Error;

use crate::keys::KeyError;
use crate::text::debug_as_report;
use crate::verifier::NotReady;

/// Why a sensitive field was not encrypted. Nothing was sent; nothing of the text is shown.
#[derive(Error)]
#[non_exhaustive]
pub enum FieldEncryptError {
    /// The text is longer than the key can encrypt.
    #[error("the text has {length} bytes in UTF-8; at most {most} can be encrypted")]
    #[non_exhaustive]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The maximum length in bytes: 42 less than the modulus of the key.
        most: usize,
    },
    /// There is no WeChat Pay key that is valid now.
    #[error("there is no WeChat Pay key to encrypt with")]
    NoKey(#[from] NotReady),
    /// The key cannot be used.
    #[error("the WeChat Pay key cannot be used to encrypt")]
    Key(#[from] KeyError),
    /// The library failed.
    #[error("the RSA computation failed")]
    Failed,
}

impl FieldEncryptError {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => {
                "check the text against the documentation of the call: a Chinese character has 3 bytes, and a \
                 field cannot be encrypted in parts"
            }
            Self::NoKey(e) => e.hint(),
            Self::Key(e) => e.hint(),
            Self::Failed => "report it with the version of aws-lc-rs",
        }
    }
}

debug_as_report!(FieldEncryptError);
