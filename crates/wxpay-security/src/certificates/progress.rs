//! How the downloads of a merchant went, and when the next one is due.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;
use wxpay_auth::{Timestamp, WechatpaySerial};

use crate::certificates::error::CertificateError;
use crate::certificates::flight::Outcome;
use crate::certificates::list::CertificateList;
use crate::certificates::platform_certificates::Inner;
use crate::certificates::schedule::{Due, Schedule};
use crate::certificates::status::{CertificateState, CertificateStatus};

/// What is known about the downloads of a merchant.
///
/// Whatever changes it sets the schedule before it unlocks it (first this lock, then that of the schedule), so that the
/// schedule is always that of the last change.
pub(super) struct Progress {
    pub(super) status: CertificateStatus,
    /// Whether the refusal that ended the downloads was verified.
    confirmed: bool,
    /// The certificates of the last list, and until when each is of use.
    listed: Vec<(WechatpaySerial, Timestamp)>,
    /// How many lists in a row were the same, and without a certificate of use.
    stale: u32,
    /// When a download was last begun because of a message, or a call without a key.
    begun_on_demand: Option<Instant>,
    /// The scheduler, and the number under which it knows this merchant.
    schedule: Option<(Weak<Schedule>, u64)>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let status = CertificateStatus {
            state: CertificateState::Active,
            downloaded_at: None,
            covered_until: None,
            failures: 0,
            downloads: 0,
        };
        Self {
            status,
            confirmed: false,
            listed: Vec::new(),
            stale: 0,
            begun_on_demand: None,
            schedule: None,
        }
    }

    /// Records how a download ended, and sets when the next one is due.
    pub(super) fn landed(&mut self, outcome: &Outcome, now: Timestamp) {
        match outcome {
            Ok(list) => self.succeeded(list, now),
            Err(error) => match &**error {
                CertificateError::PublicKeyMode(refusal) => {
                    self.status.failures = 0;
                    if self.status.state == CertificateState::Active {
                        self.status.state = CertificateState::PublicKeyMode;
                    }
                    self.confirmed |= refusal.is_verified();
                }
                _ => self.status.failures = self.status.failures.saturating_add(1),
            },
        }
        self.schedule(self.due(now));
    }

    fn succeeded(&mut self, list: &CertificateList, now: Timestamp) {
        let certificates = list.certificates.iter();
        let listed: Vec<_> = certificates.map(|c| (c.serial.clone(), c.last_use())).collect();
        let is_stale = list.covered_until() <= now && listed == self.listed;
        self.stale = if is_stale { self.stale.saturating_add(1) } else { 0 };
        self.listed = listed;
        self.confirmed = false;
        let status = &mut self.status;
        status.failures = 0;
        status.downloaded_at = Some(now);
        status.covered_until = Some(list.covered_until());
        if status.state == CertificateState::PublicKeyMode {
            status.state = CertificateState::Active;
        }
    }

    pub(super) fn set_state(&mut self, state: CertificateState, due: Due) {
        self.status.state = state;
        self.confirmed = false;
        self.schedule(due);
    }

    /// Returns whether the scheduler may begin a download: it may be late, after a change of the state.
    pub(super) fn may_begin(&self) -> bool {
        match self.status.state {
            CertificateState::Active => true,
            CertificateState::PublicKeyMode => !self.confirmed,
            CertificateState::Paused => false,
        }
    }

    /// Returns whether a message, or a call without a key, may begin a download now, and notes it.
    pub(super) fn may_begin_on_demand(&mut self, interval: Duration) -> bool {
        let now = Instant::now();
        let may_begin = self.status.state != CertificateState::Paused
            && self.begun_on_demand.is_none_or(|last| now.duration_since(last) >= interval);
        if may_begin {
            self.begun_on_demand = Some(now);
        }
        may_begin
    }

    /// Returns when the next download is due.
    fn due(&self, now: Timestamp) -> Due {
        let status = &self.status;
        match (status.state, status.covered_until) {
            (CertificateState::Paused, _) => Due::Never,
            (CertificateState::PublicKeyMode, _) if self.confirmed => Due::Never,
            (CertificateState::PublicKeyMode, _) => Due::Probe,
            _ if status.failures > 0 => Due::AfterFailure(status.failures),
            _ if self.stale > 0 => Due::AfterFailure(self.stale),
            (_, Some(end)) => {
                let left = u64::try_from(end.seconds_after(now)).unwrap_or(0);
                Due::AfterSuccess(Duration::from_secs(left))
            }
            (_, None) => Due::Now,
        }
    }

    /// Has a scheduler keep it up to date from now on, instead of another one.
    pub(super) fn schedule_with(
        &mut self,
        schedule: &Arc<Schedule>,
        inner: &Arc<Inner>,
        now: Timestamp,
    ) {
        let weak = Arc::downgrade(schedule);
        let known = self.number_in(&weak).filter(|number| schedule.has(*number));
        if known.is_none() {
            self.leave_schedule();
            self.schedule = Some((weak, schedule.add(inner)));
        }
        self.schedule(self.due(now));
    }

    /// Returns the number under which this scheduler knows it.
    pub(super) fn number_in(&self, schedule: &Weak<Schedule>) -> Option<u64> {
        let (known, number) = self.schedule.as_ref()?;
        known.ptr_eq(schedule).then_some(*number)
    }

    /// Has no scheduler any more.
    pub(super) fn leave_schedule(&mut self) {
        if let Some((schedule, number)) = self.schedule.take()
            && let Some(schedule) = schedule.upgrade()
        {
            schedule.remove(number);
        }
    }

    fn schedule(&self, due: Due) {
        if let Some((schedule, number)) = &self.schedule
            && let Some(schedule) = schedule.upgrade()
        {
            schedule.set(*number, due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    use crate::certificates::double::{Answer, Downloads, NOW, TestClock};
    use crate::certificates::error::CertificateError;
    use crate::certificates::scheduler::CertificateScheduler;
    use crate::certificates::status::CertificateState;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(86_400);

    #[tokio::test(start_paused = true)]
    async fn a_refusal_that_is_not_verified_is_a_failure_while_a_certificate_is_valid() {
        let downloads = Downloads::new(TestClock::at(NOW));
        let (scheduler, merchant) = (CertificateScheduler::start(), downloads.merchant());
        scheduler.add(&merchant);
        sleep(HOUR).await;
        for answer in [Answer::PublicKeyMode, Answer::NotEnough] {
            downloads.answer(answer);
            let error = merchant.refresh().await.unwrap_err();
            assert!(matches!(&*error, CertificateError::Transport(_)), "{answer:?}: {error:?}");
            assert!(error.hint().contains("公钥") || answer == Answer::PublicKeyMode, "{error:?}");
            let before = downloads.calls();
            sleep(DAY).await;
            assert!((24..=60).contains(&(downloads.calls() - before)), "{answer:?}");
            let status = merchant.status();
            assert_eq!(status.state, CertificateState::Active, "{answer:?}");
            assert!(status.failures > 20, "{status:?}");
            downloads.answer(Answer::List);
            sleep(HOUR).await;
            assert_eq!(merchant.status().failures, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_verified_refusal_ends_the_downloads_of_a_merchant_with_certificates() {
        let downloads = Downloads::new(TestClock::at(NOW));
        let (scheduler, merchant) = (CertificateScheduler::start(), downloads.merchant());
        scheduler.add(&merchant);
        sleep(HOUR).await;
        downloads.answer(Answer::ConfirmedPublicKeyMode);
        let error = merchant.refresh().await.unwrap_err();
        assert!(error.is_public_key_mode(), "{error:?}");
        let before = downloads.calls();
        sleep(10 * DAY).await;
        assert_eq!(downloads.calls(), before);
        assert_eq!(merchant.status().state, CertificateState::PublicKeyMode);
    }

    #[tokio::test(start_paused = true)]
    async fn a_merchant_in_public_key_mode_is_asked_for_once_a_day_unless_the_refusal_was_verified()
    {
        let downloads = Downloads::new(TestClock::at(NOW));
        downloads.answer(Answer::PublicKeyMode);
        let (scheduler, merchant) = (CertificateScheduler::start(), downloads.merchant());
        scheduler.add(&merchant);
        sleep(10 * DAY).await;
        assert_eq!(merchant.status().state, CertificateState::PublicKeyMode);
        assert!((10..=14).contains(&downloads.calls()), "{}", downloads.calls());

        downloads.answer(Answer::NoConnection);
        let before = downloads.calls();
        sleep(10 * DAY).await;
        assert!((9..=14).contains(&(downloads.calls() - before)), "a failure does not hurry it");
        downloads.answer(Answer::List);
        sleep(DAY + HOUR).await;
        assert_eq!(merchant.status().state, CertificateState::Active);
        assert_eq!(merchant.ring().serials().len(), 1);
    }

    /// The end that the list names has passed, and WeChat Pay goes on to list the same.
    #[tokio::test(start_paused = true)]
    async fn a_list_that_covers_nothing_and_does_not_change_is_downloaded_less_and_less_often() {
        let downloads = Downloads::new(TestClock::at(NOW));
        *downloads.expire_time.lock().unwrap() = Some(NOW + 60);
        let (scheduler, merchant) = (CertificateScheduler::start(), downloads.merchant());
        scheduler.add(&merchant);
        sleep(DAY).await;
        let before = downloads.calls();
        sleep(DAY).await;
        assert!(
            (24..=49).contains(&(downloads.calls() - before)),
            "{}",
            downloads.calls() - before
        );
        assert_eq!((merchant.status().failures, merchant.ring().serials().len()), (0, 1));
        // Another list, and it covers nothing either.
        *downloads.expire_time.lock().unwrap() = Some(NOW + 120);
        merchant.refresh().await.unwrap();
        let before = downloads.calls();
        sleep(HOUR).await;
        assert!((4..=9).contains(&(downloads.calls() - before)), "{}", downloads.calls() - before);
    }
}
