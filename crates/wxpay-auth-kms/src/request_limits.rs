//! Limits of the requests to a key service: concurrency, time and attempts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use wxpay_auth_core::SignErrorKind;
use wxpay_auth_core::internal::log;

use crate::backoff::{backoff, backoff_throttled};
use crate::error::KmsError;

/// The limits of a [`RequestLimiter`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Maximum number of concurrent requests.
    pub(crate) concurrency: usize,
    /// Maximum number of callers in the queue.
    pub(crate) queue: usize,
    /// Time limit of one request.
    pub(crate) attempt_timeout: Duration,
    /// Time limit of a call, including queueing and all attempts.
    pub(crate) total_timeout: Duration,
    /// Maximum number of attempts per call, not counting throttled ones. With 1, nothing is
    /// retried, not even those.
    pub(crate) attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 32,
            queue: 256,
            attempt_timeout: Duration::from_secs(3),
            total_timeout: Duration::from_secs(10),
            attempts: 4,
        }
    }
}

impl Limits {
    pub(crate) fn check(&self) -> Result<(), KmsError> {
        let wrong = |problem| Err(KmsError::setting(problem, "correct the setting"));
        if !(1..=Semaphore::MAX_PERMITS).contains(&self.concurrency) {
            return wrong("concurrency must be at least 1");
        }
        if !is_sensible(self.attempt_timeout) {
            return wrong("attempt_timeout must be greater than zero, and at most a day");
        }
        if !is_sensible(self.total_timeout) {
            return wrong("sign_timeout must be greater than zero, and at most a day");
        }
        if self.attempts == 0 {
            return wrong("attempts must be at least 1");
        }
        Ok(())
    }
}

/// Returns whether a time limit is in range.
pub(crate) fn is_sensible(timeout: Duration) -> bool {
    !timeout.is_zero() && timeout <= Duration::from_secs(24 * 60 * 60)
}

/// Runs requests within their [`Limits`], and retries those that may be retried.
#[derive(Debug)]
pub(crate) struct RequestLimiter {
    limits: Limits,
    permits: Semaphore,
    waiting: AtomicUsize,
}

impl RequestLimiter {
    pub(crate) fn new(limits: Limits) -> Self {
        let permits = Semaphore::new(limits.concurrency);
        Self { limits, permits, waiting: AtomicUsize::new(0) }
    }

    /// Returns the number of callers in the queue.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Runs a request, and retries it after a transient failure, within the time of the caller and
    /// the total time limit.
    pub(crate) async fn run_within<T, F: Future<Output = Result<T, KmsError>>>(
        &self,
        left: Duration,
        request: impl Fn() -> F,
    ) -> Result<T, KmsError> {
        let deadline = Instant::now() + self.limits.total_timeout.min(left);
        self.run_until(deadline, request).await
    }

    /// Does the same until a deadline. It keeps its permit between attempts, so that a throttling
    /// service gets fewer requests.
    pub(crate) async fn run_until<T, F: Future<Output = Result<T, KmsError>>>(
        &self,
        deadline: Instant,
        request: impl Fn() -> F,
    ) -> Result<T, KmsError> {
        let begin = Instant::now();
        let _permit = tokio::time::timeout_at(deadline, self.permit())
            .await
            .map_err(|_| KmsError::timeout(begin.elapsed()))??;
        let (mut failed, mut throttled) = (0, 0);
        let is_pending = |error: &KmsError| error.kind() == SignErrorKind::ApprovalPending;
        // The last error of the service, in case the next attempts time out.
        let mut said = None;
        loop {
            let begin = Instant::now();
            let end = deadline.min(begin + self.limits.attempt_timeout);
            let error = match tokio::time::timeout_at(end, request()).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => {
                    said = Some(error.clone());
                    error
                }
                // Still pending: a timeout of this attempt does not change that.
                Err(_) => match &said {
                    Some(pending) if is_pending(pending) => pending.clone(),
                    Some(before) => KmsError::timeout(begin.elapsed()).with_source(before.clone()),
                    None => KmsError::timeout(begin.elapsed()),
                },
            };
            let is_pending = is_pending(&error);
            let wait = if is_pending || error.kind() == SignErrorKind::Throttled {
                throttled += 1;
                error.retry_after().unwrap_or_else(|| backoff_throttled(throttled))
            } else {
                failed += 1;
                error.retry_after().unwrap_or_default()
            };
            let wait = wait.max(backoff(failed + throttled));
            let is_last = self.limits.attempts == 1 || failed >= self.limits.attempts;
            // The wait that the service asks for may have any length.
            let is_late = wait >= deadline.saturating_duration_since(Instant::now());
            if !(error.kind().is_transient() || is_pending) || is_last || is_late {
                return Err(error);
            }
            log::debug!(%error, failed, throttled, ?wait, "a key service failed; retrying");
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits for a permit, unless the queue is full.
    async fn permit(&self) -> Result<SemaphorePermit<'_>, KmsError> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        let _waiting = Waiting::enter(&self.waiting, self.limits.queue)?;
        self.permits.acquire().await.map_err(|_| {
            // The semaphore is never closed.
            KmsError::new(SignErrorKind::Other, "the signer accepts no more signatures")
        })
    }
}

/// Counts a queued caller until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize, most: usize) -> Result<Self, KmsError> {
        if waiting.fetch_add(1, Ordering::Relaxed) < most {
            return Ok(Self(waiting));
        }
        waiting.fetch_sub(1, Ordering::Relaxed);
        let message = format!("{most} signatures are waiting already");
        Err(KmsError::new(SignErrorKind::Throttled, message))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl RequestLimiter {
    pub(crate) async fn run<T, F: Future<Output = Result<T, KmsError>>>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<T, KmsError> {
        self.run_within(Duration::MAX, request).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use super::*;

    fn error(kind: SignErrorKind) -> KmsError {
        KmsError::new(kind, "told to")
    }

    /// Runs scripted requests one after the other, in paused time. Returns the result and when each
    /// request started.
    async fn run(
        limits: Limits,
        script: Vec<Result<(), KmsError>>,
    ) -> (Result<(), KmsError>, Vec<Duration>) {
        let (script, begun) = (Mutex::new(script.into_iter()), Mutex::new(Vec::new()));
        let start = Instant::now();
        let ended = RequestLimiter::new(limits)
            .run(|| {
                begun.lock().unwrap().push(start.elapsed());
                let ended = script.lock().unwrap().next();
                async move {
                    match ended {
                        Some(ended) => ended,
                        None => std::future::pending().await,
                    }
                }
            })
            .await;
        (ended, begun.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_tried_again_and_nothing_else() {
        use SignErrorKind as K;
        for kind in [K::Throttled, K::Unavailable, K::Timeout] {
            let (ended, begun) = run(Limits::default(), vec![Err(error(kind)), Ok(())]).await;
            assert!(ended.is_ok(), "{kind}");
            assert_eq!(begun.len(), 2);
        }
        for kind in
            [K::Configuration, K::KeyNotFound, K::PermissionDenied, K::Unsupported, K::Other]
        {
            let (ended, begun) = run(Limits::default(), vec![Err(error(kind)), Ok(())]).await;
            assert_eq!(ended.unwrap_err().kind(), kind);
            assert_eq!(begun.len(), 1);
        }
    }

    /// Another request would need another approval: the error must not suggest a retry.
    #[tokio::test(start_paused = true)]
    async fn an_approval_stays_pending_when_asking_again_takes_too_long() {
        let script = vec![Err(error(SignErrorKind::ApprovalPending))];
        let (ended, begun) = run(Limits::default(), script).await;
        assert!(begun.len() > 1, "it was asked again");
        assert_eq!(ended.unwrap_err().kind(), SignErrorKind::ApprovalPending);
    }

    /// A new request needs another approval, so this is not a transient failure; the same request
    /// succeeds as soon as it is approved.
    #[tokio::test(start_paused = true)]
    async fn an_approval_is_waited_for_until_the_deadline() {
        let pending = || Err(error(SignErrorKind::ApprovalPending));
        assert!(!SignErrorKind::ApprovalPending.is_transient());
        let script = (0..6).map(|_| pending()).chain([Ok(())]).collect();
        let (ended, begun) = run(Limits::default(), script).await;
        ended.unwrap();
        assert_eq!(begun.len(), 7, "more than attempts");
        let (ended, begun) = run(Limits::default(), (0..99).map(|_| pending()).collect()).await;
        assert_eq!(ended.unwrap_err().kind(), SignErrorKind::ApprovalPending);
        assert!(begun.len() < 20 && begun.last().unwrap() < &Duration::from_secs(10), "{begun:?}");
        let limits = Limits { attempts: 1, ..Limits::default() };
        let (ended, begun) = run(limits, vec![pending(), Ok(())]).await;
        assert_eq!(ended.unwrap_err().kind(), SignErrorKind::ApprovalPending);
        assert_eq!(begun.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_for_more_patience_than_there_is_gets_none() {
        for wait in [Duration::from_secs(11), Duration::MAX] {
            let busy = error(SignErrorKind::Throttled).with_retry_after(wait);
            let (ended, begun) = run(Limits::default(), vec![Err(busy), Ok(())]).await;
            assert_eq!(ended.unwrap_err().kind(), SignErrorKind::Throttled);
            assert_eq!(begun.len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_counted() {
        for attempts in [1, 2, 4] {
            let limits = Limits { attempts, ..Limits::default() };
            let script = (0..9).map(|_| Err(error(SignErrorKind::Unavailable))).collect();
            let (ended, begun) = run(limits, script).await;
            assert_eq!(ended.unwrap_err().to_string(), "told to");
            assert_eq!(begun.len(), attempts as usize);
        }
    }

    /// Quotas are counted per second: retrying sooner would use up the attempts.
    #[tokio::test(start_paused = true)]
    async fn throttling_is_waited_out_until_the_deadline() {
        let throttled = || Err(error(SignErrorKind::Throttled));
        let script = [throttled(), throttled(), throttled(), throttled(), throttled(), Ok(())];
        let (ended, begun) = run(Limits::default(), script.into()).await;
        assert!(ended.is_ok());
        assert_eq!(begun.len(), 6);
        let waits: Vec<_> = begun.windows(2).map(|pair| pair[1].abs_diff(pair[0])).collect();
        assert!(waits.iter().all(|wait| wait.as_millis() >= 500), "{waits:?}");
        assert!(waits[1..].iter().all(|wait| wait.as_millis() >= 1000), "{waits:?}");

        // It lasts longer than the deadline, and other failures are counted as usual.
        let script = || (0..99).map(|_| throttled());
        let (ended, begun) = run(Limits::default(), script().collect()).await;
        assert_eq!(ended.unwrap_err().kind(), SignErrorKind::Throttled);
        assert!((5..=11).contains(&begun.len()), "{begun:?}");
        let broken = (0..9).map(|_| Err(error(SignErrorKind::Unavailable)));
        let limits = Limits { attempts: 2, ..Limits::default() };
        let (ended, begun) = run(limits, script().take(3).chain(broken).collect()).await;
        assert_eq!(ended.unwrap_err().kind(), SignErrorKind::Unavailable);
        assert_eq!(begun.len(), 5);

        // With one attempt there are no retries.
        let limits = Limits { attempts: 1, ..Limits::default() };
        let (ended, begun) = run(limits, vec![throttled(), Ok(())]).await;
        assert_eq!(ended.unwrap_err().kind(), SignErrorKind::Throttled);
        assert_eq!(begun.len(), 1);
    }

    /// 100 requests per second, for 300 concurrent callers.
    #[tokio::test(start_paused = true)]
    async fn a_quota_by_the_second_serves_everybody() {
        let limiter = Arc::new(RequestLimiter::new(Limits { queue: 300, ..Limits::default() }));
        let (start, served) = (Instant::now(), Arc::new(Mutex::new((0, 0))));
        let tasks: Vec<_> = (0..300)
            .map(|_| {
                let (limiter, served) = (Arc::clone(&limiter), Arc::clone(&served));
                tokio::spawn(async move {
                    let request = || async {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        let second = start.elapsed().as_secs();
                        let mut served = served.lock().unwrap();
                        if served.0 < second {
                            *served = (second, 0);
                        }
                        served.1 += 1;
                        if served.1 <= 100 { Ok(()) } else { Err(error(SignErrorKind::Throttled)) }
                    };
                    limiter.run(request).await
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_out_remembers_what_the_service_said() {
        let sealed = KmsError::new(SignErrorKind::Unavailable, "sealed");
        for (attempts, begun_at_most) in [(2, 2), (99, 9)] {
            let limits = Limits { attempts, ..Limits::default() };
            let (ended, begun) = run(limits, vec![Err(sealed.clone())]).await;
            let error = ended.unwrap_err();
            assert_eq!(error.kind(), SignErrorKind::Timeout);
            let source = std::error::Error::source(&error).unwrap();
            assert_eq!(source.to_string(), "sealed");
            assert!(std::error::Error::source(source).is_none());
            assert!((2..=begun_at_most).contains(&begun.len()), "{begun:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_that_the_service_names_is_kept() {
        let throttled = |secs| {
            let wait = Duration::from_secs(secs);
            Err(error(SignErrorKind::Throttled).with_retry_after(wait))
        };
        let (ended, begun) = run(Limits::default(), vec![throttled(2), throttled(3), Ok(())]).await;
        assert!(ended.is_ok());
        assert_eq!(begun.len(), 3);
        assert!(begun[1] >= Duration::from_secs(2), "{begun:?}");
        assert!(begun[2] >= begun[1] + Duration::from_secs(3), "{begun:?}");

        // It does not wait beyond the deadline.
        let (ended, begun) = run(Limits::default(), vec![throttled(11), Ok(())]).await;
        assert_eq!(ended.unwrap_err().retry_after(), Some(Duration::from_secs(11)));
        assert_eq!(begun.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_is_given_up_and_all_of_it_has_an_end() {
        let start = Instant::now();
        let limits = Limits { attempts: 100, ..Limits::default() };
        let (ended, begun) = run(limits, vec![]).await;
        assert_eq!(ended.unwrap_err().kind(), SignErrorKind::Timeout);
        assert!(begun.len() >= 3, "{begun:?}");
        assert!(start.elapsed() <= limits.total_timeout + Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once_so_many_waiting_and_no_more() {
        let limits = Limits { concurrency: 2, queue: 3, ..Limits::default() };
        let limiter = Arc::new(RequestLimiter::new(limits));
        let inside = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (limiter, inside) = (Arc::clone(&limiter), Arc::clone(&inside));
                tokio::spawn(async move {
                    let request = || async {
                        let others = inside.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                        Ok(others)
                    };
                    limiter.run(request).await
                })
            })
            .collect();
        let (mut done, mut refused) = (0, 0);
        for task in tasks {
            match task.await.unwrap() {
                Ok(others) => {
                    assert!(others < 2);
                    done += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), SignErrorKind::Throttled);
                    assert_eq!(error.to_string(), "3 signatures are waiting already");
                    refused += 1;
                }
            }
        }
        assert_eq!((done, refused), (5, 3));
        assert_eq!(limiter.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_leaves_its_place() {
        let limits = Limits { concurrency: 1, queue: 1, ..Limits::default() };
        let limiter = Arc::new(RequestLimiter::new(limits));
        let hanging = || {
            let limiter = Arc::clone(&limiter);
            tokio::spawn(async move { limiter.run(std::future::pending::<Result<(), _>>).await })
        };
        let (first, second) = (hanging(), hanging());
        while limiter.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        second.abort();
        let _ = second.await;
        assert_eq!(limiter.waiting(), 0);
        first.abort();
        let _ = first.await;
        limiter.run(|| async { Ok(()) }).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_turn_ends_in_a_time_out() {
        let limits = Limits { concurrency: 1, attempts: 1, ..Limits::default() };
        let limits = Limits { attempt_timeout: Duration::from_secs(60), ..limits };
        let limiter = Arc::new(RequestLimiter::new(limits));
        let permit = limiter.permit().await.unwrap();
        let error = limiter.run(|| async { Ok(()) }).await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Timeout);
        drop(permit);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let good = Limits::default();
        assert!(good.check().is_ok());
        for wrong in [
            Limits { concurrency: 0, ..good },
            Limits { concurrency: usize::MAX, ..good },
            Limits { attempt_timeout: Duration::ZERO, ..good },
            Limits { total_timeout: Duration::ZERO, ..good },
            Limits { attempt_timeout: Duration::MAX, ..good },
            Limits { total_timeout: Duration::MAX, ..good },
            Limits { attempts: 0, ..good },
        ] {
            assert_eq!(wrong.check().unwrap_err().kind(), SignErrorKind::Configuration);
        }
    }
}
