//! Why a response was not accepted.

use std::error::Error as StdError;

use thiserror::Error;

use crate::clock::Timestamp;
use crate::text::debug_as_report;
use crate::wechatpay_serial::WechatpaySerial;

/// Says why a signature of WeChat Pay was not accepted.
///
/// On the response to a call this is never "the call failed": WeChat Pay, or somebody in between, has
/// answered, so the call may well have been carried out. On a notification it means: do not believe
/// it, and do not acknowledge it.
#[derive(Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A header that carries the signature is not there.
    #[error("the response is not signed: it has no {name}")]
    #[non_exhaustive]
    MissingHeader {
        /// The name of the header.
        name: &'static str,
    },
    /// A header that carries the signature is there, with a value that it cannot have.
    #[error("the response has a malformed {name}")]
    #[non_exhaustive]
    MalformedHeader {
        /// The name of the header.
        name: &'static str,
    },
    /// A header that carries the signature is there more than once: of two values, which one was signed?
    #[error("the response has {name} more than once")]
    #[non_exhaustive]
    RepeatedHeader {
        /// The name of the header.
        name: &'static str,
    },
    /// WeChat Pay sent a wrong signature on purpose, to see whether it is noticed.
    #[error("the response carries a signature probe (WECHATPAY/SIGNTEST/)")]
    #[non_exhaustive]
    Probe {
        /// The key that the probe names, which need not exist.
        serial: String,
    },
    /// The response was signed too long ago, or too far in the future.
    #[error("the response was signed {} s {} the local clock, more than {window} s are refused",
        seconds.unsigned_abs(), if *seconds < 0 { "before" } else { "after" })]
    #[non_exhaustive]
    ClockSkew {
        /// The response's time less the local one, in seconds.
        seconds: i64,
        /// How many seconds are let pass.
        window: u64,
    },
    /// The key that signed is not held.
    #[error("the response is signed by {serial}, which is not held")]
    #[non_exhaustive]
    UnknownSerial {
        /// The key that the response names, which need not have the form of an id.
        serial: String,
    },
    /// The certificate of the key is not valid at this time.
    #[error(
        "the response is signed by {serial}, which is valid from {not_before} to {not_after} only, and it is {now} (Unix seconds)"
    )]
    #[non_exhaustive]
    KeyNotValid {
        /// The key that the response names.
        serial: WechatpaySerial,
        /// The first second at which its certificate is valid.
        not_before: Timestamp,
        /// The last second at which its certificate is valid.
        not_after: Timestamp,
        /// The time at which it was checked.
        now: Timestamp,
    },
    /// The response names an algorithm that the verifier, or its key, has not.
    #[error("the response is signed with an algorithm that is not supported")]
    UnsupportedAlgorithm,
    /// The signature is not base64.
    #[error("the signature of the response is not base64")]
    MalformedSignature,
    /// The signature does not fit the response.
    #[error("the signature does not fit the response (key {serial})")]
    #[non_exhaustive]
    Mismatch {
        /// The key that the response names, and that was used to check.
        serial: WechatpaySerial,
    },
    /// The key could not be fetched.
    #[error("the key {serial} could not be fetched")]
    #[non_exhaustive]
    Unavailable {
        /// The key that the response names.
        serial: WechatpaySerial,
        /// Why it could not be fetched.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl VerifyError {
    /// Makes an [`UnknownSerial`](Self::UnknownSerial), for a verifier of one's own.
    pub fn unknown_serial(serial: &WechatpaySerial) -> Self {
        Self::UnknownSerial { serial: serial.to_string() }
    }

    /// Makes a [`Mismatch`](Self::Mismatch), for a verifier of one's own.
    pub fn mismatch(serial: WechatpaySerial) -> Self {
        Self::Mismatch { serial }
    }

    /// Makes an [`UnsupportedAlgorithm`](Self::UnsupportedAlgorithm), for a verifier of one's own.
    pub fn unsupported_algorithm() -> Self {
        Self::UnsupportedAlgorithm
    }

    /// Makes an [`Unavailable`](Self::Unavailable), for a verifier of one's own.
    pub fn unavailable(
        serial: WechatpaySerial,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { serial, source: source.into() }
    }

    /// Says what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::MissingHeader { .. } => {
                "treat the response as forged: check which host answered, and that no proxy strips \
                 the Wechatpay-* headers"
            }
            Self::MalformedHeader { .. } => {
                "treat the response as forged: check that no proxy rewrites the Wechatpay-* headers"
            }
            Self::RepeatedHeader { .. } => {
                "treat the response as forged: check which proxy or gateway adds Wechatpay-* headers of its \
                 own"
            }
            Self::Probe { .. } => {
                "WeChat Pay tests now and then that wrong signatures are refused, and this one was: \
                 nothing is wrong here, but whether the call took effect has to be asked"
            }
            Self::ClockSkew { .. } => "set the local clock (NTP); an old response may be a replay",
            Self::UnknownSerial { .. } => {
                "add the WeChat Pay public key or platform certificate of this id to the key ring; \
                 during a migration both are in use, so hold both"
            }
            Self::KeyNotValid { .. } => {
                "add the platform certificate that is valid now, and check the local clock"
            }
            Self::UnsupportedAlgorithm => {
                "check Wechatpay-Signature-Type: the account may have been moved to another \
                 algorithm (SM2, say), whose keys the verifier then needs"
            }
            Self::MalformedSignature => {
                "do not trust the response: it does not come from WeChat Pay, or something in between \
                 changes its headers"
            }
            Self::Mismatch { .. } => {
                "do not trust the response: check that the key in the ring really belongs to this id, \
                 and that nothing in between changes the body"
            }
            Self::Unavailable { .. } => "check why the key cannot be fetched; then ask again",
        }
    }
}

debug_as_report!(VerifyError);
