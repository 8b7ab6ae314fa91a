//! Why a list of platform certificates was not accepted.

use thiserror::Error;
use wxpay_auth::{DecryptError, KeyError, Timestamp, WechatpaySerial, foreign_text};
use wxpay_auth_core::internal::debug_as_report;

/// Why a list of platform certificates was not accepted. Nothing of it is used.
#[derive(Error)]
#[non_exhaustive]
pub enum CertificateListError {
    /// The body is not a list of encrypted certificates.
    #[error("the response is no list of platform certificates (line {line}, column {column})")]
    #[non_exhaustive]
    Form {
        /// The line at which parsing stopped, from 1.
        line: usize,
        /// The number of bytes of it that were read.
        column: usize,
    },
    /// The list is empty.
    #[error("the list of platform certificates is empty")]
    Empty,
    /// A certificate could not be decrypted.
    #[error("the platform certificate {serial} could not be decrypted")]
    #[non_exhaustive]
    Decrypt {
        /// Its serial, as the list names it.
        serial: String,
        /// The cause.
        source: DecryptError,
    },
    /// What was decrypted is not a certificate that can be used.
    #[error("the platform certificate {serial} is not one")]
    #[non_exhaustive]
    Certificate {
        /// Its serial, as the list names it.
        serial: String,
        /// The cause.
        source: KeyError,
    },
    /// The list names a certificate by another serial than its own.
    #[error("the list names the platform certificate {found} as {named}")]
    #[non_exhaustive]
    SerialMismatch {
        /// The serial in the list.
        named: String,
        /// The serial of the certificate.
        found: WechatpaySerial,
    },
    /// A certificate was not issued by the authority that was set.
    #[error("the platform certificate {serial} does not come from the authority that was set")]
    #[non_exhaustive]
    Issuer {
        /// Its serial.
        serial: WechatpaySerial,
        /// The cause.
        source: KeyError,
    },
    /// All certificates in the list have expired.
    #[error(
        "all platform certificates in the list have expired, the last one, {serial}, at {not_after} (Unix seconds)"
    )]
    #[non_exhaustive]
    Expired {
        /// The serial of the last one to expire.
        serial: WechatpaySerial,
        /// The last second at which it was valid.
        not_after: Timestamp,
    },
    /// No certificate in the list is valid now, and at least one will be.
    #[error(
        "no platform certificate in the list is valid yet, the first one, {serial}, is from {not_before} on (Unix seconds)"
    )]
    #[non_exhaustive]
    NotValidYet {
        /// The serial of the first one to become valid.
        serial: WechatpaySerial,
        /// The first second at which it is valid.
        not_before: Timestamp,
    },
    /// The response is signed by a key that is neither held nor in the list.
    #[error(
        "the list of platform certificates is signed by {serial}, which is neither held nor in the list"
    )]
    #[non_exhaustive]
    SignerMissing {
        /// The key that the response names.
        serial: WechatpaySerial,
    },
}

impl CertificateListError {
    pub(super) fn form(error: &serde_json::Error) -> Self {
        Self::Form { line: error.line(), column: error.column() }
    }

    pub(super) fn decrypt(serial: &str, source: DecryptError) -> Self {
        Self::Decrypt { serial: shown(serial), source }
    }

    pub(super) fn certificate(serial: &str, source: KeyError) -> Self {
        Self::Certificate { serial: shown(serial), source }
    }

    pub(super) fn serial_mismatch(named: &str, found: WechatpaySerial) -> Self {
        Self::SerialMismatch { named: shown(named), found }
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Form { .. } => {
                "check which host answered, and that nothing in between changes the body; what was held before stays"
            }
            Self::Empty => {
                "this merchant has no platform certificate: use the WeChat Pay public key, which the merchant \
                 platform shows (账户中心 > API安全 > 微信支付公钥)"
            }
            Self::Decrypt { source, .. } => source.hint(),
            Self::Issuer { source, .. } => source.hint(),
            Self::Certificate { .. } | Self::SerialMismatch { .. } => {
                "nothing of the list is used, and what was held before stays: report the Request-ID to WeChat Pay's \
                 support"
            }
            Self::Expired { .. } => {
                "check the local clock; if it is right, use the WeChat Pay public key, or ask WeChat Pay's support \
                 for a new certificate"
            }
            Self::NotValidYet { .. } => "check the local clock",
            Self::SignerMissing { serial } if serial.is_public_key_id() => {
                "add the WeChat Pay public key of this id to the key ring (KeyRing::insert_public_key): a merchant that \
                 has it needs no platform certificates"
            }
            Self::SignerMissing { .. } => {
                "do not trust the response: check which host answered; if it was WeChat Pay, download again"
            }
        }
    }
}

/// Makes a serial of the list safe for a log line.
fn shown(serial: &str) -> String {
    const LONGEST: usize = 120;
    foreign_text(serial, LONGEST, &[])
}

debug_as_report!(CertificateListError);
