//! Why a field was not decrypted.

use std::error::Error as StdError;

use thiserror::Error;

use crate::serial_no::SerialNo;
use crate::signer::SignErrorKind;
use crate::text::debug_as_report;

/// Why a sensitive field was not decrypted. Shows nothing of the field.
#[derive(Error)]
#[non_exhaustive]
pub enum FieldDecryptError {
    /// The field is not standard Base64.
    #[error("the encrypted field is not Base64")]
    NotBase64,
    /// The field has a length that no field for this key has.
    #[error(
        "the encrypted field has {length} bytes, but those for the key of the merchant certificate {serial_no} have \
         {expected}"
    )]
    #[non_exhaustive]
    Length {
        /// Its length in bytes.
        length: usize,
        /// The length of the key's modulus in bytes.
        expected: usize,
        /// The merchant certificate of the key.
        serial_no: SerialNo,
    },
    /// The field was encrypted for another key, or in another way, or was changed.
    #[error(
        "the encrypted field does not decrypt with the key of the merchant certificate {serial_no}"
    )]
    #[non_exhaustive]
    Mismatch {
        /// The merchant certificate of the key.
        serial_no: SerialNo,
    },
    /// The field was decrypted, and is not UTF-8.
    #[error("the decrypted field is not UTF-8")]
    NotUtf8,
    /// The key, or what holds it, cannot decrypt fields at all.
    #[error("{reason}")]
    #[non_exhaustive]
    KeyCannotDecrypt {
        /// Which key cannot, and why.
        reason: String,
        /// What can.
        hint: &'static str,
    },
    /// The token or the service that holds the key failed.
    #[error("the key that decrypts is not available ({kind})")]
    #[non_exhaustive]
    Unavailable {
        /// The kind of failure, as of a signer.
        kind: SignErrorKind,
        /// What to do.
        hint: &'static str,
        /// The error of the token or the service.
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl FieldDecryptError {
    /// Creates a [`Length`](Self::Length), from the length of the field and the one of the key's modulus, in bytes.
    pub fn length(length: usize, expected: usize, serial_no: SerialNo) -> Self {
        Self::Length { length, expected, serial_no }
    }

    /// Creates a [`Mismatch`](Self::Mismatch), from the merchant certificate of the key.
    pub fn mismatch(serial_no: SerialNo) -> Self {
        Self::Mismatch { serial_no }
    }

    /// Creates a [`KeyCannotDecrypt`](Self::KeyCannotDecrypt). The reason says which key cannot decrypt; it is lower
    /// case, one line, and contains no secret. The hint says what can.
    pub fn key_cannot_decrypt(reason: impl Into<String>, hint: &'static str) -> Self {
        Self::KeyCannotDecrypt { reason: reason.into(), hint }
    }

    /// Creates an [`Unavailable`](Self::Unavailable). The source contains no secret.
    pub fn unavailable(
        kind: SignErrorKind,
        hint: &'static str,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { kind, hint, source: source.into() }
    }

    /// Returns whether the same call may succeed a little later, without any change.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { kind, .. } if kind.is_transient())
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotBase64 => {
                "decrypt only fields that the documentation of the call calls encrypted, as they are in the JSON"
            }
            Self::Length { .. } | Self::Mismatch { .. } => {
                "use the key of the merchant certificate that WeChat Pay encrypted for: with several valid ones, \
                 give all of them to FieldDecryptors"
            }
            Self::NotUtf8 => "report it with the name of the call and the Request-ID",
            Self::KeyCannotDecrypt { hint, .. } | Self::Unavailable { hint, .. } => hint,
        }
    }
}

debug_as_report!(FieldDecryptError);
