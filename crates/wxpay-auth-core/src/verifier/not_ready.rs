//! Why a verifier is not ready.

use thiserror::Error;

use crate::clock::Timestamp;
use crate::text::debug_as_report;
use crate::wechatpay_serial::WechatpaySerial;

/// Why a [`Verifier`](crate::Verifier) cannot verify any response now. Meanwhile a client sends nothing,
/// because an unverifiable response says nothing about the call.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotReady {
    /// There is no key at all.
    #[error("no WeChat Pay public key and no platform certificate is held")]
    NoKey,
    /// There are only certificates, and all of them have expired.
    #[error(
        "every platform certificate has expired, the last one, {serial}, at {not_after} (Unix seconds)"
    )]
    #[non_exhaustive]
    Expired {
        /// The serial of the last one to expire.
        serial: WechatpaySerial,
        /// The last second at which it was valid.
        not_after: Timestamp,
    },
    /// There are only certificates, none is valid, and at least one will be.
    #[error(
        "no platform certificate is valid yet, the first one, {serial}, is from {not_before} on (Unix seconds)"
    )]
    #[non_exhaustive]
    NotValidYet {
        /// The serial of the first one to become valid.
        serial: WechatpaySerial,
        /// The first second at which it is valid.
        not_before: Timestamp,
    },
    /// Something else is missing.
    #[error("{message}")]
    #[non_exhaustive]
    Other {
        /// What is missing.
        message: String,
    },
}

impl NotReady {
    /// Creates an error for something else that is missing, for custom verifiers. The message is lower case,
    /// one line, and contains no secret.
    pub fn other(message: impl Into<String>) -> Self {
        Self::Other { message: message.into() }
    }

    /// Creates an [`Expired`](Self::Expired), for custom verifiers, from the last certificate to expire.
    pub fn expired(serial: WechatpaySerial, not_after: Timestamp) -> Self {
        Self::Expired { serial, not_after }
    }

    /// Creates a [`NotValidYet`](Self::NotValidYet), for custom verifiers, from the first certificate to become
    /// valid.
    pub fn not_valid_yet(serial: WechatpaySerial, not_before: Timestamp) -> Self {
        Self::NotValidYet { serial, not_before }
    }

    /// Creates a [`NoKey`](Self::NoKey), for custom verifiers.
    pub fn no_key() -> Self {
        Self::NoKey
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoKey => {
                "add the WeChat Pay public key with its id (KeyRing::insert_public_key), or a platform \
                 certificate (KeyRing::insert_certificate)"
            }
            Self::Expired { .. } => {
                "add the platform certificate that is valid now, or the WeChat Pay public key; and \
                 check the local clock"
            }
            Self::NotValidYet { .. } => {
                "check the local clock; until then, add a platform certificate that is valid now, or \
                 the WeChat Pay public key"
            }
            Self::Other { .. } => "give the verifier what its message asks for",
        }
    }
}

debug_as_report!(NotReady);
