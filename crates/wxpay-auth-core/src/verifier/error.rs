//! Why a response was not accepted.

use std::error::Error as StdError;

use thiserror::Error;

use crate::clock::Timestamp;
use crate::text::debug_as_report;
use crate::wechatpay_serial::WechatpaySerial;

/// Why a signature of WeChat Pay was not accepted.
///
/// For the response to a call this never means that the call failed: WeChat Pay, or something in between,
/// has responded, so the call may have been carried out. For a notification it means: do not trust it,
/// and do not acknowledge it.
#[derive(Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A signature header is missing.
    #[error("the response is not signed: it has no {name}")]
    #[non_exhaustive]
    MissingHeader {
        /// The name of the header.
        name: &'static str,
    },
    /// A signature header has an invalid value.
    #[error("the response has a malformed {name}")]
    #[non_exhaustive]
    MalformedHeader {
        /// The name of the header.
        name: &'static str,
    },
    /// A signature header occurs more than once, so it is ambiguous which value was signed.
    #[error("the response has {name} more than once")]
    #[non_exhaustive]
    RepeatedHeader {
        /// The name of the header.
        name: &'static str,
    },
    /// WeChat Pay sent a wrong signature on purpose, to test whether it is detected.
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
        /// The response's timestamp minus the local time, in seconds.
        seconds: i64,
        /// The allowed difference, in seconds.
        window: u64,
    },
    /// The signing key is not held.
    #[error("the response is signed by {serial}, which is not held")]
    #[non_exhaustive]
    UnknownSerial {
        /// The key named in the response, which need not have the form of an id.
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
    /// The verifier, or its key, does not support the named algorithm.
    #[error("the response is signed with an algorithm that is not supported")]
    UnsupportedAlgorithm,
    /// The signature is not base64.
    #[error("the signature of the response is not base64")]
    MalformedSignature,
    /// The signature does not match the response.
    #[error("the signature does not fit the response (key {serial})")]
    #[non_exhaustive]
    Mismatch {
        /// The key named in the response, which was used to verify.
        serial: WechatpaySerial,
    },
    /// The key could not be fetched.
    #[error("the key {serial} could not be fetched")]
    #[non_exhaustive]
    Unavailable {
        /// The key that the response names.
        serial: WechatpaySerial,
        /// The cause.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl VerifyError {
    /// Creates an [`UnknownSerial`](Self::UnknownSerial), for custom verifiers.
    pub fn unknown_serial(serial: &WechatpaySerial) -> Self {
        Self::UnknownSerial { serial: serial.to_string() }
    }

    /// Creates a [`Mismatch`](Self::Mismatch), for custom verifiers.
    pub fn mismatch(serial: WechatpaySerial) -> Self {
        Self::Mismatch { serial }
    }

    /// Creates a [`KeyNotValid`](Self::KeyNotValid), for custom verifiers: the certificate is valid from
    /// `not_before` to `not_after`, and it is `now`.
    pub fn key_not_valid(
        serial: WechatpaySerial,
        not_before: Timestamp,
        not_after: Timestamp,
        now: Timestamp,
    ) -> Self {
        Self::KeyNotValid { serial, not_before, not_after, now }
    }

    /// Creates an [`UnsupportedAlgorithm`](Self::UnsupportedAlgorithm), for custom verifiers.
    pub fn unsupported_algorithm() -> Self {
        Self::UnsupportedAlgorithm
    }

    /// Creates an [`Unavailable`](Self::Unavailable), for custom verifiers.
    pub fn unavailable(
        serial: WechatpaySerial,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { serial, source: source.into() }
    }

    /// Returns what to do.
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
                 nothing is wrong here, but query whether the call took effect"
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
