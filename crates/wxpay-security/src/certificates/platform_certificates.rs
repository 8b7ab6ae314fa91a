//! The platform certificates of a merchant: held in a key ring, and downloaded into it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use wxpay_auth::{Clock, KeyRing, SystemClock, Timestamp, WechatpaySerial};
use wxpay_auth_core::internal::log::{info, warn};
use wxpay_auth_core::internal::panics::caught;
use wxpay_transport::Transport;

use crate::certificates::download::CertificateDownload;
use crate::certificates::download_verifier::DownloadVerifier;
use crate::certificates::error::CertificateError;
use crate::certificates::flight::{self, Flight, Outcome, Waiting};
use crate::certificates::list::CertificateList;
use crate::certificates::list_error::CertificateListError;
use crate::certificates::progress::Progress;
use crate::certificates::schedule::{Due, Schedule};
use crate::certificates::status::{CertificateState, CertificateStatus};

/// The platform certificates of a merchant: a key ring, and what downloads them into it.
///
/// A download replaces the certificates in the ring, atomically: those that the list no longer has are removed, but for
/// ten minutes they still verify ([`KeyRing::replace_certificates`]); public keys stay. If it fails, nothing changes. One download runs at a time, and all who ask for one meanwhile get its
/// result.
///
/// By itself it downloads nothing: a [`CertificateScheduler`](crate::CertificateScheduler) does so in time, a
/// [`RenewingVerifier`](crate::RenewingVerifier) when a certificate that is needed is not held, and
/// [`refresh`](Self::refresh) now. Clones share everything.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012073263>
///
/// ```
/// use wxpay_auth::{ApiV3Key, KeyRing};
/// use wxpay_security::{CertificateScheduler, DownloadVerifier, PlatformCertificates, RenewingVerifier};
/// use wxpay_testing::Gateway;
/// use wxpay_transport::{BaseUrl, Client};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let gateway = Gateway::start().await;
/// # gateway.sign_with_platform_certificate();
/// let verifier = DownloadVerifier::new(KeyRing::new(), ApiV3Key::new(gateway.api_v3_key())?);
/// let downloads = Client::builder(gateway.mchid(), gateway.signer(), verifier.clone())
///     .base_url(BaseUrl::new(gateway.base_url())?)
///     .build()?;
/// let certificates = PlatformCertificates::new(downloads.clone(), verifier);
/// certificates.refresh().await?;
///
/// let scheduler = CertificateScheduler::start(); // one for all merchants of the process
/// scheduler.add(&certificates);
/// let client = downloads.with_verifier(RenewingVerifier::new(certificates));
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PlatformCertificates {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    download: CertificateDownload<Box<dyn Transport>>,
    ring: KeyRing,
    clock: Arc<dyn Clock>,
    pub(super) flight: Flight,
    progress: Mutex<Progress>,
}

impl PlatformCertificates {
    /// Creates it with the system clock. `transport` is the client that downloads, whose verifier is (a clone of)
    /// `verifier`; its ring is the one that is filled.
    pub fn new(transport: impl Transport + 'static, verifier: DownloadVerifier) -> Self {
        Self::with_clock(transport, verifier, SystemClock)
    }

    /// Creates it with a clock, which tells how long certificates are still of use.
    pub fn with_clock(
        transport: impl Transport + 'static,
        verifier: DownloadVerifier,
        clock: impl Clock + 'static,
    ) -> Self {
        let ring = verifier.ring().clone();
        Self {
            inner: Arc::new(Inner {
                download: CertificateDownload::new(Box::new(transport), verifier),
                ring,
                clock: Arc::new(clock),
                flight: Flight::default(),
                progress: Mutex::new(Progress::new()),
            }),
        }
    }

    /// Returns the ring that is filled. It may hold public keys, too, which stay.
    pub fn ring(&self) -> &KeyRing {
        &self.inner.ring
    }

    /// Downloads the certificates into the ring now, or waits for the download in progress.
    ///
    /// It runs in a task of its own, so it completes also if this future is dropped. After
    /// [public-key mode](CertificateError::PublicKeyMode), one that succeeds makes the downloads of the scheduler begin again.
    ///
    /// While a certificate in the ring is valid, only a refusal that is signed by a key in the ring is taken for
    /// public-key mode; any other one is a [`CertificateError::Transport`].
    ///
    /// # Errors
    /// [`CertificateError`], shared by all who waited. The ring holds what it held before.
    pub async fn refresh(&self) -> Result<Arc<CertificateList>, Arc<CertificateError>> {
        match flight::begin(&self.inner, None, || true) {
            Some(waiting) => flight::outcome(waiting).await,
            None => Err(Arc::new(CertificateError::Interrupted)),
        }
    }

    /// Returns what is known about the certificates.
    pub fn status(&self) -> CertificateStatus {
        self.inner.progress().status
    }

    /// Downloads no more, neither in time nor for unknown serials: during the move to the public key, each download
    /// counts against it. [`refresh`](Self::refresh) still downloads.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4013038589>
    pub fn pause(&self) {
        self.inner.progress().set_state(CertificateState::Paused, Due::Never);
    }

    /// Downloads again after [`pause`](Self::pause); the scheduler begins at once.
    pub fn resume(&self) {
        self.inner.progress().set_state(CertificateState::Active, Due::Now);
    }
}

impl Inner {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a scheduler keep it up to date from now on.
    pub(super) fn schedule_with(self: &Arc<Self>, schedule: &Arc<Schedule>) {
        let now = self.now();
        self.progress().schedule_with(schedule, self, now);
    }

    /// Reads the clock, which is the application's: without a lock, and a panic in it changes nothing.
    fn now(&self) -> Timestamp {
        caught(|| self.clock.now()).unwrap_or_else(|| SystemClock.now())
    }

    /// Returns the number under which this scheduler knows it.
    pub(super) fn number_in(&self, schedule: &Weak<Schedule>) -> Option<u64> {
        self.progress().number_in(schedule)
    }

    /// Begins a download that the scheduler wants, unless it was paused meanwhile.
    pub(super) fn begin(self: &Arc<Self>, permit: OwnedSemaphorePermit) {
        let _ = flight::begin(self, Some(permit), || self.progress().may_begin());
    }

    /// Joins the download in progress, or begins one unless downloads are paused, or another one was begun on demand less
    /// than `interval` ago.
    pub(super) fn begin_on_demand(self: &Arc<Self>, interval: Duration) -> Option<Waiting> {
        if self.progress().status.state == CertificateState::Paused {
            return None;
        }
        flight::begin(self, None, || self.progress().may_begin_on_demand(interval))
    }

    /// Counts a download.
    pub(super) fn begun(&self) {
        self.progress().status.downloads += 1;
    }

    /// Downloads the list, and puts it into the ring, unless another download has taken the place of this one.
    pub(super) async fn download_into_ring(&self, number: u64) -> Outcome {
        let list = self.download.list().await.map_err(|error| Arc::new(self.judged(error)))?;
        if !self.flight.is_current(number) {
            return Err(Arc::new(CertificateError::Interrupted));
        }
        let before = self.certificates();
        let listed = list.certificates.iter().map(|c| (c.serial.clone(), &c.certificate));
        self.ring.replace_certificates(listed).map_err(|error| {
            let named = list.signed_by.as_str();
            Arc::new(CertificateError::from(CertificateListError::certificate(named, error)))
        })?;
        self.tell_changes(&before);
        Ok(Arc::new(list))
    }

    /// Takes a refusal that anyone may have sent for a failure, as long as there is a certificate to lose.
    fn judged(&self, error: CertificateError) -> CertificateError {
        match error {
            CertificateError::PublicKeyMode(refusal)
                if !refusal.is_verified()
                    && self.ring.preferred_certificate(self.now()).is_some() =>
            {
                refusal.into_failure()
            }
            error => error,
        }
    }

    fn certificates(&self) -> BTreeSet<WechatpaySerial> {
        let serials = self.ring.serials().into_iter();
        serials.filter(|serial| !serial.is_public_key_id()).collect()
    }

    fn tell_changes(&self, before: &BTreeSet<WechatpaySerial>) {
        let now = self.certificates();
        for serial in now.difference(before) {
            info!(%serial, "a platform certificate was added");
        }
        for serial in before.difference(&now) {
            info!(%serial, "a platform certificate was removed");
        }
    }

    /// Records how a download ended, and when the next one is due.
    pub(super) fn landed(&self, outcome: &Outcome) {
        let now = self.now();
        self.progress().landed(outcome, now);
        match outcome {
            Ok(_) => {}
            Err(error) if error.is_public_key_mode() => {
                warn!(%error, hint = &*error.hint(), "platform certificates are no longer downloaded");
            }
            Err(error) => {
                warn!(%error, hint = &*error.hint(), "the platform certificates could not be downloaded");
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let progress = self.progress.get_mut().unwrap_or_else(PoisonError::into_inner);
        progress.leave_schedule();
    }
}

impl fmt::Debug for PlatformCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlatformCertificates")
            .field("ring", &self.inner.ring)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, Runtime};
    use tokio::task::yield_now;
    use tokio::time::advance;

    use super::*;
    use crate::certificates::double::{Answer, Downloads, NOW, TestClock};

    fn runtime(is_paused: bool) -> Runtime {
        Builder::new_current_thread().enable_all().start_paused(is_paused).build().unwrap()
    }

    /// A list, or a failure, that comes after another download has taken its place.
    #[test]
    fn a_download_of_a_runtime_that_slept_changes_nothing() {
        for late in [Answer::List, Answer::NoConnection] {
            let (asleep, awake) = (runtime(false), runtime(true));
            let downloads = Downloads::new(TestClock::at(NOW));
            let merchant = downloads.merchant();
            downloads.hold();
            let refreshed = merchant.clone();
            let refresh = asleep.spawn(async move { refreshed.refresh().await });
            asleep.block_on(async {
                while downloads.calls() == 0 {
                    yield_now().await;
                }
            });
            assert_eq!(downloads.calls(), 1);
            downloads.gate.add_permits(2);
            awake.block_on(async {
                advance(Duration::from_secs(130)).await;
                merchant.refresh().await.unwrap();
            });
            assert_eq!((downloads.calls(), merchant.ring().serials().len()), (2, 1));

            downloads.answer(late);
            merchant.ring().replace_certificates([]).unwrap();
            let status = merchant.status();
            asleep.block_on(refresh).unwrap().unwrap_err();
            assert_eq!(merchant.ring().serials(), [], "{late:?}");
            assert_eq!(merchant.status(), status, "{late:?}");
        }
    }
}
