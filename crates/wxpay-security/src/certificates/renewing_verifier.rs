//! A verifier that downloads the certificate it does not have.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use tokio::time::timeout;
use wxpay_auth::{NotReady, SignedMessage, Timestamp, Verifier, VerifyError, WechatpaySerial};
use wxpay_auth_core::internal::debug_as_report;

use crate::certificates::error::CertificateError;
use crate::certificates::flight;
use crate::certificates::platform_certificates::PlatformCertificates;

/// Verifies with the key ring of [`PlatformCertificates`], and downloads them when a message names a platform
/// certificate that is not held.
///
/// All messages that wait share one download, and at most one is begun for unknown serials in a minute, also if someone
/// floods a public notification address with made-up ones. Signature probes, malformed serials and the ids of public
/// keys (`PUB_KEY_ID_…`) never cause one; nor does any message while downloads are
/// [paused](PlatformCertificates::pause), or in [public-key mode](CertificateError::NoMore).
///
/// Give it to the client that makes calls, and to what receives notifications, but not to the client that downloads.
/// Clones share everything.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012073263>
#[derive(Debug, Clone)]
pub struct RenewingVerifier {
    certificates: PlatformCertificates,
    min_interval: Duration,
    max_wait: Duration,
}

impl RenewingVerifier {
    /// Creates it: at most one download for unknown serials in a minute, which a message waits for at most 3 seconds,
    /// because a notification must be answered within 5.
    pub fn new(certificates: PlatformCertificates) -> Self {
        let (min_interval, max_wait) = (Duration::from_secs(60), Duration::from_secs(3));
        Self { certificates, min_interval, max_wait }
    }

    /// Sets the shortest time between two downloads for unknown serials.
    #[must_use]
    pub fn with_min_interval(mut self, interval: Duration) -> Self {
        self.min_interval = interval;
        self
    }

    /// Sets how long a message waits for a download. The download itself goes on.
    #[must_use]
    pub fn with_max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Returns the certificates.
    pub fn certificates(&self) -> &PlatformCertificates {
        &self.certificates
    }

    /// Waits for a download, then verifies again. A second one is of use if the first one had begun before the
    /// certificate was listed.
    async fn renewed(&self, message: SignedMessage<'_>) -> Result<(), VerifyError> {
        const MOST: usize = 2;
        let failed = |error| VerifyError::unavailable(message.serial().clone(), error);
        for _ in 0..MOST {
            let Some(waiting) = self.certificates.inner.begin_for_unknown(self.min_interval) else {
                break;
            };
            match flight::outcome(waiting).await {
                Ok(_) => {}
                Err(error) if error.is_public_key_mode() => break,
                Err(error) => return Err(failed(RenewalError::Download(error))),
            }
            match self.certificates.ring().verify(message).await {
                Err(VerifyError::UnknownSerial { .. }) => {}
                result => return result,
            }
        }
        // Another download may have ended meanwhile.
        self.certificates.ring().verify(message).await
    }
}

#[async_trait]
impl Verifier for RenewingVerifier {
    fn preferred_serial(&self, now: Timestamp) -> Option<WechatpaySerial> {
        self.certificates.ring().preferred_serial(now)
    }

    fn readiness(&self, now: Timestamp) -> Result<(), NotReady> {
        self.certificates.ring().readiness(now)
    }

    async fn verify(&self, message: SignedMessage<'_>) -> Result<(), VerifyError> {
        let unknown = match self.certificates.ring().verify(message).await {
            Err(unknown @ VerifyError::UnknownSerial { .. }) => unknown,
            result => return result,
        };
        // Outside of a runtime there is neither a timer nor a download.
        if message.serial().is_public_key_id() || tokio::runtime::Handle::try_current().is_err() {
            return Err(unknown);
        }
        let late = |_| {
            let error = RenewalError::Late { after: self.max_wait };
            Err(VerifyError::unavailable(message.serial().clone(), error))
        };
        timeout(self.max_wait, self.renewed(message)).await.unwrap_or_else(late)
    }
}

/// Why the platform certificate that a message names could not be downloaded; the source of a
/// [`VerifyError::Unavailable`].
#[derive(Error)]
#[non_exhaustive]
pub enum RenewalError {
    /// The download failed.
    #[error("the platform certificates could not be downloaded")]
    Download(#[source] Arc<CertificateError>),
    /// The download took too long. It goes on.
    #[error("the download of the platform certificates took longer than {after:?}")]
    #[non_exhaustive]
    Late {
        /// How long was waited.
        after: Duration,
    },
}

impl RenewalError {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Download(_) => "see the source of the error; a notification is sent again",
            Self::Late { .. } => "read the state of the call again; a notification is sent again",
        }
    }
}

debug_as_report!(RenewalError);
