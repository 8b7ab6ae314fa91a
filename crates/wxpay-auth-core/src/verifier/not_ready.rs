//! Why a verifier cannot verify at the moment.

use thiserror::Error;

use crate::clock::Timestamp;
use crate::text::debug_as_report;
use crate::wechatpay_serial::WechatpaySerial;

/// Says why a [`Verifier`](crate::Verifier) could not verify any response now. While it says so, a
/// client sends nothing: a response that cannot be verified tells nothing about the call.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotReady {
    /// There is no key at all.
    #[error("no WeChat Pay public key and no platform certificate is held")]
    NoKey,
    /// There are certificates only, and all of them have expired.
    #[error(
        "every platform certificate has expired, the last one, {serial}, at {not_after} (Unix seconds)"
    )]
    #[non_exhaustive]
    Expired {
        /// The serial of the one that was valid for longest.
        serial: WechatpaySerial,
        /// The last second at which it was valid.
        not_after: Timestamp,
    },
    /// There are certificates only, none is valid, and one will be.
    #[error(
        "no platform certificate is valid yet, the first one, {serial}, is from {not_before} on (Unix seconds)"
    )]
    #[non_exhaustive]
    NotValidYet {
        /// The serial of the one that becomes valid first.
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
    /// Says that something else is missing, for a verifier of one's own. The message is lower case,
    /// one line, and holds no secret.
    pub fn other(message: impl Into<String>) -> Self {
        Self::Other { message: message.into() }
    }

    /// Makes a [`NoKey`](Self::NoKey), for a verifier of one's own.
    pub fn no_key() -> Self {
        Self::NoKey
    }

    /// Says what to do.
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
