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
/// certificate that is not held or not valid, or a call is to be made and no key is valid (the call itself still fails:
/// [`Verifier::readiness`]).
///
/// All messages that wait share one download, and at most one is begun in this way in a minute, also if someone floods a
/// public notification address with made-up serials. Signature probes, malformed serials and the ids of public keys
/// (`PUB_KEY_ID_…`) never cause one; nor does anything while downloads are [paused](PlatformCertificates::pause).
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
    /// Creates it: at most one download in a minute, which a message waits for at most 3 seconds,
    /// because a notification must be answered within 5.
    pub fn new(certificates: PlatformCertificates) -> Self {
        let (min_interval, max_wait) = (Duration::from_secs(60), Duration::from_secs(3));
        Self { certificates, min_interval, max_wait }
    }

    /// Sets the shortest time between two downloads that it begins.
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
            let Some(waiting) = self.certificates.inner.begin_on_demand(self.min_interval) else {
                break;
            };
            match flight::outcome(waiting).await {
                Ok(_) => {}
                Err(error) if error.is_public_key_mode() => break,
                Err(error) => return Err(failed(RenewalError::Download(error))),
            }
            match self.certificates.ring().verify(message).await {
                Err(error) if may_be_renewed(&error) => {}
                result => return result,
            }
        }
        // Another download may have ended meanwhile.
        self.certificates.ring().verify(message).await
    }
}

/// Returns whether a download may change the verdict.
fn may_be_renewed(error: &VerifyError) -> bool {
    matches!(error, VerifyError::UnknownSerial { .. } | VerifyError::KeyNotValid { .. })
}

#[async_trait]
impl Verifier for RenewingVerifier {
    fn preferred_serial(&self, now: Timestamp) -> Option<WechatpaySerial> {
        self.certificates.ring().preferred_serial(now)
    }

    fn readiness(&self, now: Timestamp) -> Result<(), NotReady> {
        let readiness = self.certificates.ring().readiness(now);
        if matches!(readiness, Err(NotReady::NoKey | NotReady::Expired { .. })) {
            // It goes on by itself, for the calls after this one.
            let _ = self.certificates.inner.begin_on_demand(self.min_interval);
        }
        readiness
    }

    async fn verify(&self, message: SignedMessage<'_>) -> Result<(), VerifyError> {
        let unknown = match self.certificates.ring().verify(message).await {
            Err(error) if may_be_renewed(&error) => error,
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

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use tokio::time::sleep;
    use wxpay_auth::{Algorithm, PrivateKey};

    use super::*;
    use crate::certificates::double::{Answer, Downloads, KEY, NOW, TestClock, certificate};

    const MINUTE: Duration = Duration::from_secs(60);

    /// Verifies a message that this serial signed, if it is the certificate's, or that is made up.
    async fn verify(verifier: &RenewingVerifier, by: &str) -> Result<(), VerifyError> {
        let signature = if by == serial() {
            PrivateKey::from_pem(KEY).unwrap().sign(b"message").unwrap()
        } else {
            vec![0; 256]
        };
        let serial = by.parse().unwrap();
        let (algorithm, now) = (Algorithm::Sha256Rsa2048, Timestamp::from_unix_secs(NOW));
        let message = SignedMessage::new(&serial, algorithm, b"message", &signature, now);
        verifier.verify(message).await
    }

    fn serial() -> String {
        certificate().serial_no().to_string()
    }

    fn verifier(downloads: &Arc<Downloads>) -> RenewingVerifier {
        RenewingVerifier::new(downloads.merchant())
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_need_a_certificate_wait_for_one_download() {
        let downloads = Downloads::new(TestClock::at(NOW));
        downloads.hold();
        let verifier = verifier(&downloads);
        let waiting: Vec<_> = (0..64)
            .map(|_| {
                let verifier = verifier.clone();
                tokio::spawn(async move { verify(&verifier, &serial()).await })
            })
            .collect();
        sleep(Duration::from_secs(1)).await;
        downloads.gate.add_permits(100);
        for waits in waiting {
            waits.await.unwrap().unwrap();
        }
        assert_eq!(downloads.calls(), 1);
        verify(&verifier, &serial()).await.unwrap();
        assert_eq!(downloads.calls(), 1, "now it is held");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_unknown_serials_causes_one_download_in_an_interval() {
        let downloads = Downloads::new(TestClock::at(NOW));
        let verifier = verifier(&downloads).with_min_interval(MINUTE);
        for minutes in 1..=3 {
            for made_up in 0..2000 {
                let error = verify(&verifier, &format!("{made_up:X}")).await.unwrap_err();
                assert!(matches!(error, VerifyError::UnknownSerial { .. }), "{error}");
            }
            assert_eq!(downloads.calls(), minutes);
            sleep(MINUTE).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_id_of_a_public_key_and_paused_downloads_cause_none() {
        let downloads = Downloads::new(TestClock::at(NOW));
        let verifier = verifier(&downloads);
        let error = verify(&verifier, "PUB_KEY_ID_0100000000009999").await.unwrap_err();
        assert!(matches!(error, VerifyError::UnknownSerial { .. }), "{error}");
        verifier.certificates().pause();
        assert!(verify(&verifier, "5F").await.is_err());
        assert_eq!(downloads.calls(), 0);
        verifier.certificates().resume();
        downloads.answer(Answer::ConfirmedPublicKeyMode);
        for serial in ["5F", "PUB_KEY_ID_0100000000009999", "PUB_KEY_ID_0100000000009999"] {
            let error = verify(&verifier, serial).await.unwrap_err();
            assert!(matches!(error, VerifyError::UnknownSerial { .. }), "{error}");
            sleep(2 * MINUTE).await;
        }
        assert_eq!(downloads.calls(), 1, "the id of a public key causes none in public-key mode");
    }

    #[tokio::test(start_paused = true)]
    async fn in_public_key_mode_a_certificate_causes_one_download_in_an_interval() {
        let downloads = Downloads::new(TestClock::at(NOW));
        downloads.answer(Answer::PublicKeyMode);
        let verifier = verifier(&downloads);
        for minutes in 1..=3 {
            for made_up in ["5F", "60"] {
                let error = verify(&verifier, made_up).await.unwrap_err();
                assert!(matches!(error, VerifyError::UnknownSerial { .. }), "{error}");
            }
            assert_eq!(downloads.calls(), minutes);
            sleep(MINUTE).await;
        }
        downloads.answer(Answer::List);
        verify(&verifier, &serial()).await.expect("there are certificates again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_a_key_that_is_valid_begins_one_download_in_an_interval() {
        let downloads = Downloads::new(TestClock::at(NOW));
        downloads.answer(Answer::NoConnection);
        let verifier = verifier(&downloads);
        let at = Timestamp::from_unix_secs;
        for minutes in 1..=3 {
            for _ in 0..100 {
                assert_eq!(verifier.readiness(at(NOW)), Err(NotReady::NoKey));
            }
            sleep(MINUTE).await;
            assert_eq!(downloads.calls(), minutes);
        }
        downloads.answer(Answer::List);
        assert_eq!(verifier.readiness(at(NOW)), Err(NotReady::NoKey));
        sleep(Duration::from_secs(1)).await;
        assert_eq!((verifier.readiness(at(NOW)), downloads.calls()), (Ok(()), 4));

        let (first, last) = (certificate().not_before(), certificate().not_after());
        sleep(MINUTE).await;
        let early = verifier.readiness(at(first.as_unix_secs() - 1));
        assert!(matches!(early, Err(NotReady::NotValidYet { .. })), "{early:?}");
        sleep(MINUTE).await;
        assert_eq!(downloads.calls(), 4, "it is held");
        let late = verifier.readiness(at(last.as_unix_secs() + 1));
        assert!(matches!(late, Err(NotReady::Expired { .. })), "{late:?}");
        sleep(MINUTE).await;
        assert_eq!(downloads.calls(), 5);
        verifier.certificates().pause();
        assert!(verifier.readiness(at(last.as_unix_secs() + 1)).is_err());
        sleep(MINUTE).await;
        assert_eq!(downloads.calls(), 5, "none while they are paused");
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_that_is_not_valid_any_more_causes_a_download() {
        let downloads = Downloads::new(TestClock::at(NOW));
        let verifier = verifier(&downloads);
        verifier.certificates().refresh().await.unwrap();
        let late = Timestamp::from_unix_secs(certificate().not_after().as_unix_secs() + 1);
        let serial = serial().parse().unwrap();
        for _ in 0..2 {
            let algorithm = Algorithm::Sha256Rsa2048;
            let message = SignedMessage::new(&serial, algorithm, b"message", &[0; 256], late);
            let error = verifier.verify(message).await.unwrap_err();
            assert!(matches!(error, VerifyError::KeyNotValid { .. }), "{error}");
            assert_eq!(downloads.calls(), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_signature_is_refused_without_a_download() {
        let downloads = Downloads::new(TestClock::at(NOW));
        let verifier = verifier(&downloads);
        verifier.certificates().refresh().await.unwrap();
        let serial = certificate().serial_no().clone().into();
        let (algorithm, now) = (Algorithm::Sha256Rsa2048, Timestamp::from_unix_secs(NOW));
        let message = SignedMessage::new(&serial, algorithm, b"message", &[0; 256], now);
        let error = verifier.verify(message).await.unwrap_err();
        assert!(matches!(error, VerifyError::Mismatch { .. }), "{error}");
        assert_eq!(downloads.calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_and_the_download_goes_on() {
        let downloads = Downloads::new(TestClock::at(NOW));
        downloads.hold();
        let verifier = verifier(&downloads);
        let error = verify(&verifier, &serial()).await.unwrap_err();
        let VerifyError::Unavailable { source, .. } = &error else { panic!("{error}") };
        let source = source.downcast_ref::<RenewalError>().unwrap();
        assert!(matches!(source, RenewalError::Late { after, .. } if after.as_secs() == 3));
        downloads.gate.add_permits(1);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(downloads.calls(), 1);
        verify(&verifier, &serial()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_download_that_fails_is_the_source_of_the_error() {
        let downloads = Downloads::new(TestClock::at(NOW));
        for answer in [Answer::NoConnection, Answer::Panic] {
            downloads.answer(answer);
            let verifier = verifier(&downloads);
            let error = verify(&verifier, &serial()).await.unwrap_err();
            assert!(matches!(error, VerifyError::Unavailable { .. }), "{error}");
            let source = error.source().unwrap().downcast_ref::<RenewalError>().unwrap();
            assert!(matches!(source, RenewalError::Download(_)), "{source:?}");
            let again = verify(&verifier, &serial()).await.unwrap_err();
            assert!(matches!(again, VerifyError::UnknownSerial { .. }), "within the interval");
            downloads.answer(Answer::List);
            sleep(MINUTE).await;
            verify(&verifier, &serial()).await.unwrap();
        }
    }

    #[test]
    fn without_a_runtime_the_serial_is_unknown() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        let verifier =
            runtime().unwrap().block_on(async { verifier(&Downloads::new(TestClock::at(NOW))) });
        let (serial, signature) = ("5F".parse().unwrap(), [0; 256]);
        let (algorithm, now) = (Algorithm::Sha256Rsa2048, Timestamp::from_unix_secs(NOW));
        let message = SignedMessage::new(&serial, algorithm, b"message", &signature, now);
        let mut result = std::pin::pin!(verifier.verify(message));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(Err(error)) = result.as_mut().poll(&mut context) else {
            panic!("it waits")
        };
        assert!(matches!(error, VerifyError::UnknownSerial { .. }), "{error}");
    }
}
