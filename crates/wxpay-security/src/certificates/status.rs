//! What is known about the platform certificates of a merchant.

use wxpay_auth::Timestamp;

/// Whether the platform certificates of a merchant are downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateState {
    /// They are.
    Active,
    /// They are not, until [`resume`](crate::PlatformCertificates::resume).
    Paused,
    /// WeChat Pay said that there are none, so they are not, until a download succeeds:
    /// [`refresh`](crate::PlatformCertificates::refresh), one for a message that names a certificate, or, unless a key
    /// that was held signed the refusal, that of each day.
    PublicKeyMode,
}

/// What is known about the platform certificates of a merchant; see
/// [`PlatformCertificates::status`](crate::PlatformCertificates::status).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateStatus {
    /// Whether they are downloaded.
    pub state: CertificateState,
    /// When they were downloaded last.
    pub downloaded_at: Option<Timestamp>,
    /// Until when the last download has a certificate of use: the end in the list, or in the certificate if that comes
    /// first.
    pub covered_until: Option<Timestamp>,
    /// How many downloads have failed since the last one that succeeded.
    pub failures: u32,
    /// How many downloads were begun.
    pub downloads: u64,
}
