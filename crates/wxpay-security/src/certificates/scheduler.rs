//! Downloads the platform certificates of all merchants of a process in time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::certificates::platform_certificates::PlatformCertificates;
use crate::certificates::schedule::Schedule;

/// Downloads the platform certificates of any number of merchants in time. One is enough for a process; it has one
/// task, and ends when it is dropped.
///
/// Each merchant is due somewhat before the interval has passed, sooner as the end of its last certificate comes
/// nearer, and after a failure at first a minute later, then less and less often. Only some downloads run at a time.
/// A merchant in [public-key mode](crate::CertificateError::PublicKeyMode) is due once a day, or, if a key that was
/// held signed the refusal, never; so is one whose downloads are [paused](PlatformCertificates::pause). One that nobody
/// holds any more is forgotten: the scheduler keeps none alive.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4012715700>
///
/// ```
/// # #[tokio::main]
/// # async fn main() {
/// use std::time::Duration;
/// use wxpay_security::CertificateScheduler;
///
/// let scheduler = CertificateScheduler::builder().max_downloads(2).start();
/// // … scheduler.add(&certificates) for each merchant
/// # let _ = scheduler;
/// # }
/// ```
pub struct CertificateScheduler {
    schedule: Arc<Schedule>,
    task: JoinHandle<()>,
}

impl CertificateScheduler {
    /// Starts it on the current Tokio runtime, with an interval of 12 hours and at most four downloads at a time.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use = "the scheduler ends when it is dropped"]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Returns a builder, to set the interval and how many downloads run at a time.
    pub fn builder() -> CertificateSchedulerBuilder {
        CertificateSchedulerBuilder::default()
    }

    /// Keeps the certificates of a merchant up to date from now on. If they were never downloaded, they are at once.
    ///
    /// A merchant has one scheduler: a second one takes the place of the first one.
    pub fn add(&self, certificates: &PlatformCertificates) {
        certificates.inner.schedule_with(&self.schedule);
    }

    /// Downloads the certificates of a merchant no more.
    pub fn remove(&self, certificates: &PlatformCertificates) {
        let weak = Arc::downgrade(&self.schedule);
        if let Some(number) = certificates.inner.number_in(&weak) {
            self.schedule.remove(number);
        }
    }

    /// Returns the number of merchants that were added, and neither removed nor dropped.
    pub fn merchants(&self) -> usize {
        self.schedule.merchants()
    }
}

impl Drop for CertificateScheduler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for CertificateScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateScheduler")
            .field("interval", &self.schedule.interval())
            .field("merchants", &self.merchants())
            .finish_non_exhaustive()
    }
}

/// Sets up a [`CertificateScheduler`].
#[derive(Debug, Clone)]
pub struct CertificateSchedulerBuilder {
    interval: Duration,
    max_downloads: usize,
}

impl Default for CertificateSchedulerBuilder {
    fn default() -> Self {
        Self { interval: Duration::from_secs(12 * 3600), max_downloads: 4 }
    }
}

impl CertificateSchedulerBuilder {
    /// Sets the longest time between two downloads of a merchant. WeChat Pay asks for less than 12 hours, the default;
    /// a longer one is reduced to that, and one below a second is raised to it.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(Duration::from_secs(1), Self::default().interval);
        self
    }

    /// Sets how many downloads run at a time: 4 by default, and at least one.
    #[must_use]
    pub fn max_downloads(mut self, downloads: usize) -> Self {
        self.max_downloads = downloads.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// Starts the scheduler on the current Tokio runtime.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use = "the scheduler ends when it is dropped"]
    pub fn start(self) -> CertificateScheduler {
        let schedule = Arc::new(Schedule::new(self.interval));
        let running = Arc::clone(&schedule);
        let permits = Arc::new(Semaphore::new(self.max_downloads));
        let task = tokio::spawn(async move { running.run(permits).await });
        CertificateScheduler { schedule, task }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use tokio::time::sleep;

    use super::*;
    use crate::certificates::double::{Answer, Downloads, NOW, TestClock, certificate};
    use crate::certificates::status::CertificateState;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(86_400);

    /// Returns how many downloads there are in this time.
    async fn downloads_in(downloads: &Downloads, time: Duration) -> usize {
        let before = downloads.calls();
        sleep(time).await;
        downloads.calls() - before
    }

    #[tokio::test(start_paused = true)]
    async fn a_merchant_is_downloaded_at_once_and_then_in_less_than_the_interval() {
        let downloads = Downloads::new(TestClock::at(NOW));
        let (scheduler, merchant) = (CertificateScheduler::start(), downloads.merchant());
        scheduler.add(&merchant);
        assert_eq!(downloads_in(&downloads, HOUR).await, 1);
        assert_eq!(merchant.ring().serials().len(), 1);
        let in_ten_days = downloads_in(&downloads, 10 * DAY).await;
        assert!((21..=27).contains(&in_ten_days), "{in_ten_days}");
        let status = merchant.status();
        assert_eq!((status.failures, status.state), (0, CertificateState::Active));
        assert_eq!(status.covered_until, Some(certificate().not_after()));
        assert_eq!(status.downloads, downloads.calls() as u64);
    }

    #[tokio::test(start_paused = true)]
    async fn an_interval_of_nothing_is_a_second() {
        let downloads = Downloads::new(TestClock::at(NOW));
        let scheduler = CertificateScheduler::builder().interval(Duration::ZERO).start();
        let merchant = downloads.merchant();
        scheduler.add(&merchant);
        let in_a_minute = downloads_in(&downloads, Duration::from_secs(60)).await;
        assert!((60..=82).contains(&in_a_minute), "{in_a_minute}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_downloaded_sooner_as_the_end_comes_nearer() {
        let downloads = Downloads::new(TestClock::at(NOW));
        // The list names an end that is long before that of the certificate.
        *downloads.expire_time.lock().unwrap() = Some(NOW + 86_400);
        let (scheduler, merchant) = (CertificateScheduler::start(), downloads.merchant());
        scheduler.add(&merchant);
        let first_half = downloads_in(&downloads, DAY / 2).await;
        let second_half = downloads_in(&downloads, DAY / 2).await;
        assert!(first_half >= 2 && second_half >= 2 * first_half, "{first_half}, {second_half}");
        let after_the_end = downloads_in(&downloads, HOUR).await;
        assert!((4..=9).contains(&after_the_end), "{after_the_end} in an hour");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_repeated_less_often_and_the_old_certificates_stay() {
        let downloads = Downloads::new(TestClock::at(NOW));
        let (scheduler, merchant) = (CertificateScheduler::start(), downloads.merchant());
        scheduler.add(&merchant);
        sleep(HOUR).await;
        let held = merchant.ring().serials();
        for answer in [Answer::NoConnection, Answer::Panic] {
            downloads.answer(answer);
            sleep(DAY / 2).await;
            let in_a_day = downloads_in(&downloads, DAY).await;
            assert!((24..=50).contains(&in_a_day), "{in_a_day} with {answer:?}");
            assert_eq!(merchant.ring().serials(), held);
            assert!(merchant.status().failures > 20);
        }
        downloads.answer(Answer::List);
        sleep(HOUR).await;
        assert_eq!(merchant.status().failures, 0);
        let in_ten_days = downloads_in(&downloads, 10 * DAY).await;
        assert!((21..=27).contains(&in_ten_days), "{in_ten_days}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_merchant_in_public_key_mode_is_left_alone_until_it_has_certificates_again() {
        let downloads = Downloads::new(TestClock::at(NOW));
        downloads.answer(Answer::ConfirmedPublicKeyMode);
        let (scheduler, merchant) = (CertificateScheduler::start(), downloads.merchant());
        scheduler.add(&merchant);
        assert_eq!(downloads_in(&downloads, 10 * DAY).await, 1);
        assert_eq!(merchant.status().state, CertificateState::PublicKeyMode);
        let error = merchant.refresh().await.unwrap_err();
        assert!(error.is_public_key_mode() && error.hint().contains("PUB_KEY_ID"), "{error:?}");
        assert_eq!(downloads_in(&downloads, 10 * DAY).await, 0);

        downloads.answer(Answer::List);
        merchant.refresh().await.unwrap();
        assert_eq!(merchant.status().state, CertificateState::Active);
        assert!(downloads_in(&downloads, DAY).await >= 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_paused_or_removed_is_left_alone() {
        let downloads = Downloads::new(TestClock::at(NOW));
        let (scheduler, merchant) = (CertificateScheduler::start(), downloads.merchant());
        scheduler.add(&merchant);
        sleep(HOUR).await;
        merchant.pause();
        assert_eq!(downloads_in(&downloads, 10 * DAY).await, 0);
        merchant.refresh().await.expect("an explicit one is made");
        assert_eq!(downloads_in(&downloads, 10 * DAY).await, 0);
        merchant.resume();
        assert_eq!(downloads_in(&downloads, HOUR).await, 1);
        scheduler.remove(&merchant);
        assert_eq!((scheduler.merchants(), downloads_in(&downloads, 10 * DAY).await), (0, 0));
        scheduler.add(&merchant);
        scheduler.add(&merchant);
        assert_eq!(scheduler.merchants(), 1, "twice is once");
        assert!(downloads_in(&downloads, DAY).await >= 1);
    }

    /// The scheduler has taken a merchant that is due, and meanwhile its downloads are paused.
    #[tokio::test(start_paused = true)]
    async fn who_is_paused_at_the_last_moment_is_left_alone() {
        let downloads = Downloads::new(TestClock::at(NOW));
        let merchant = downloads.merchant();
        merchant.pause();
        let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        merchant.inner.begin(permit);
        sleep(HOUR).await;
        assert_eq!(downloads.calls(), 0);
    }

    /// Whatever else happens at the same time, the last word on the state is that on the schedule.
    #[tokio::test(start_paused = true)]
    async fn what_ends_while_it_is_paused_does_not_make_it_due() {
        let downloads = Downloads::new(TestClock::at(NOW));
        let (scheduler, merchant) = (CertificateScheduler::start(), downloads.merchant());
        scheduler.add(&merchant);
        let failed = Err(Arc::new(crate::certificates::error::CertificateError::Interrupted));
        let (rounds, both) = (1000, std::sync::Barrier::new(2));
        std::thread::scope(|threads| {
            threads.spawn(|| {
                for _ in 0..rounds {
                    both.wait();
                    merchant.inner.landed(&failed);
                    both.wait();
                }
            });
            let late = (0..rounds).filter(|_| {
                merchant.resume();
                both.wait();
                std::thread::yield_now();
                merchant.pause();
                both.wait();
                scheduler.schedule.is_anyone_due()
            });
            assert_eq!(late.count(), 0, "of {rounds}");
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_merchant_added_several_times_at_once_is_one() {
        let downloads = Downloads::new(TestClock::at(NOW));
        for round in 0..300 {
            let (scheduler, merchant) = (CertificateScheduler::start(), downloads.merchant());
            let both = std::sync::Barrier::new(2);
            std::thread::scope(|threads| {
                threads.spawn(|| {
                    both.wait();
                    scheduler.add(&merchant);
                });
                both.wait();
                scheduler.add(&merchant);
            });
            assert_eq!(scheduler.merchants(), 1, "in round {round}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_scheduler_takes_the_place_of_the_first() {
        let downloads = Downloads::new(TestClock::at(NOW));
        let (first, second) = (CertificateScheduler::start(), CertificateScheduler::start());
        let merchant = downloads.merchant();
        first.add(&merchant);
        second.add(&merchant);
        assert_eq!((first.merchants(), second.merchants()), (0, 1));
        assert_eq!(downloads_in(&downloads, HOUR).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_its_owner_and_keeps_no_merchant_alive() {
        let downloads = Downloads::new(TestClock::at(NOW));
        let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let before = alive();
        let scheduler = CertificateScheduler::start();
        let (dropped, kept) = (downloads.merchant(), downloads.merchant());
        scheduler.add(&dropped);
        scheduler.add(&kept);
        sleep(HOUR).await;
        drop(dropped);
        assert_eq!(scheduler.merchants(), 1);
        let in_ten_days = downloads_in(&downloads, 10 * DAY).await;
        assert!((21..=27).contains(&in_ten_days), "only one: {in_ten_days}");
        assert_eq!(alive(), before + 1, "one task");
        drop(scheduler);
        assert_eq!(downloads_in(&downloads, 10 * DAY).await, 0);
        assert_eq!(alive(), before);
        // What was its schedule is gone.
        kept.refresh().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn only_some_downloads_run_at_a_time() {
        let downloads = Downloads::new(TestClock::at(NOW));
        downloads.hold();
        let scheduler = CertificateScheduler::builder().max_downloads(3).start();
        let merchants: Vec<_> = (0..20).map(|_| downloads.merchant()).collect();
        for merchant in &merchants {
            scheduler.add(merchant);
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(downloads.at_once.load(Ordering::Relaxed), 3);
        downloads.gate.add_permits(1_000_000);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(downloads.calls(), 20);
        assert_eq!(downloads.most_at_once.load(Ordering::Relaxed), 3);
        assert!(merchants.iter().all(|merchant| merchant.ring().serials().len() == 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_download_that_hangs_gives_its_place_to_another_one() {
        let downloads = Downloads::new(TestClock::at(NOW));
        downloads.hold();
        let scheduler = CertificateScheduler::builder().max_downloads(1).start();
        let (one, other) = (downloads.merchant(), downloads.merchant());
        scheduler.add(&one);
        scheduler.add(&other);
        sleep(HOUR).await;
        assert!(one.status().failures > 1 && other.status().failures > 1);
        assert_eq!(downloads.most_at_once.load(Ordering::Relaxed), 1);
    }
}
