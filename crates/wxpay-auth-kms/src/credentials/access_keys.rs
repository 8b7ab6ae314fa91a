//! The access keys of a provider, as a source for the cache.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use wxpay_auth_core::{Clock, SignErrorKind};

use super::cache::{CredentialSource, Life};
use super::provider::{CredentialProvider, Credentials};
use crate::backoff::random;
use crate::error::KmsError;

/// How long before its expiry an access key is replaced at the latest.
const AHEAD_SECS: i64 = 300;
/// How much earlier it may be replaced: each process has a random time of its own, so that those
/// that started together do not call the provider together.
const SPREAD_SECS: f64 = 60.0;

/// Requests access keys from a provider and knows when they expire.
pub(crate) struct AccessKeys {
    provider: Arc<dyn CredentialProvider>,
    clock: Arc<dyn Clock>,
    ahead_secs: i64,
}

impl AccessKeys {
    pub(crate) fn new(provider: Arc<dyn CredentialProvider>, clock: Arc<dyn Clock>) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "at most 60")]
        let earlier = (random() * SPREAD_SECS) as i64;
        Self { provider, clock, ahead_secs: AHEAD_SECS + earlier }
    }
}

#[async_trait]
impl CredentialSource for AccessKeys {
    type Credential = Credentials;

    async fn obtain(&self) -> Result<Credentials, KmsError> {
        self.provider.credentials().await
    }

    fn life(&self, credentials: &Credentials) -> Life {
        let end = credentials.expires_at();
        match end.map_or(i64::MAX, |end| end.seconds_after(self.clock.now())) {
            ..=0 => Life::Ended,
            left if left <= self.ahead_secs => Life::EndsSoon,
            _ => Life::Lasts,
        }
    }

    fn is_same(&self, one: &Credentials, other: &Credentials) -> bool {
        one.is_same(other)
    }

    fn too_late(&self) -> KmsError {
        let message = format!("there were no credentials within {} ms", Self::PATIENCE.as_millis());
        KmsError::new(SignErrorKind::Timeout, message).with_hint(
            "no request was sent to the key service: check the provider of the access keys",
        )
    }
}

impl fmt::Debug for AccessKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.provider.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Duration;

    use tokio::sync::Semaphore;
    use tokio::time::Instant;
    use wxpay_auth_core::Timestamp;

    use super::super::cache::{AGAIN, CredentialCache, Kept, PAUSE};
    use super::super::request_failure::RequestFailure;
    use super::*;
    use crate::request_limits::{Limits, RequestLimiter};

    type Cache = CredentialCache<AccessKeys>;

    /// Returns numbered credentials with a lifetime of an hour, or fails.
    #[derive(Debug)]
    struct Numbered {
        asked: AtomicU64,
        failing: AtomicBool,
        kind: SignErrorKind,
        /// Each response takes a permit; there are plenty unless a test removes them.
        responses: Semaphore,
        takes: Duration,
        now: Arc<AtomicU64>,
    }

    impl Numbered {
        fn asked(&self) -> u64 {
            self.asked.load(Ordering::SeqCst)
        }

        fn fail(&self, failing: bool) {
            self.failing.store(failing, Ordering::SeqCst);
        }
    }

    #[async_trait]
    impl CredentialProvider for Numbered {
        async fn credentials(&self) -> Result<Credentials, KmsError> {
            let number = self.asked.fetch_add(1, Ordering::SeqCst);
            self.responses.acquire().await.unwrap().forget();
            tokio::time::sleep(self.takes).await;
            if self.failing.load(Ordering::SeqCst) {
                return Err(KmsError::new(self.kind, "told to"));
            }
            let end = self.now.load(Ordering::SeqCst) + 3600;
            Ok(Credentials::new(format!("id {number}"), "secret")
                .with_session_token("token")
                .with_expiry(Timestamp::from_unix_secs(end)))
        }
    }

    fn cache_of(takes: Duration, kind: SignErrorKind) -> (Arc<Numbered>, Arc<Cache>) {
        let provider = Arc::new(Numbered {
            asked: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            kind,
            responses: Semaphore::new(1000),
            takes,
            now: Arc::default(),
        });
        let now = Arc::clone(&provider.now);
        let clock = move || Timestamp::from_unix_secs(now.load(Ordering::SeqCst));
        let cache = Cache::new(AccessKeys::new(Arc::clone(&provider) as _, Arc::new(clock)));
        (provider, Arc::new(cache))
    }

    fn cache() -> (Arc<Numbered>, Arc<Cache>) {
        cache_of(Duration::from_millis(1), SignErrorKind::Unavailable)
    }

    async fn id(cache: &Cache) -> String {
        cache.current().await.unwrap().id().to_owned()
    }

    /// Waits until the provider has had this many calls and the last result is in the cache.
    async fn settled(provider: &Numbered, cache: &Cache, asked: u64) {
        while provider.asked() < asked {
            tokio::task::yield_now().await;
        }
        // Joining now waits for the running call to end.
        let _ = cache.replaced(None, |source| async move { Err(source.too_late()) }).await;
    }

    #[tokio::test(start_paused = true)]
    async fn they_are_kept_until_five_or_six_minutes_before_they_expire() {
        let (provider, cache) = cache();
        assert_eq!(id(&cache).await, "id 0");
        provider.now.store(3239, Ordering::SeqCst);
        assert_eq!(id(&cache).await, "id 0");
        assert_eq!(provider.asked(), 1);
        provider.now.store(3300, Ordering::SeqCst);
        assert_eq!(id(&cache).await, "id 0");
        settled(&provider, &cache, 2).await;
        assert_eq!(id(&cache).await, "id 1");
        provider.now.store(20_000, Ordering::SeqCst);
        assert_eq!(id(&cache).await, "id 2");
    }

    #[test]
    fn processes_replace_them_at_different_times() {
        let source = |_| {
            let clock = Arc::new(wxpay_auth_core::SystemClock);
            AccessKeys::new(Arc::new(Credentials::new("id", "secret")), clock).ahead_secs
        };
        let ahead: Vec<_> = (0..1000).map(source).collect();
        assert!(ahead.iter().all(|secs| (300..=360).contains(secs)), "{ahead:?}");
        assert!(ahead.iter().any(|secs| *secs < 315), "{ahead:?}");
        assert!(ahead.iter().any(|secs| *secs > 345), "{ahead:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn old_ones_serve_until_they_expire() {
        let (provider, cache) = cache();
        cache.current().await.unwrap();
        provider.fail(true);
        provider.now.store(3599, Ordering::SeqCst);
        assert_eq!(id(&cache).await, "id 0");
        settled(&provider, &cache, 2).await;
        provider.now.store(3600, Ordering::SeqCst);
        cache.current().await.unwrap_err();
        provider.fail(false);
        assert_eq!(id(&cache).await, "id 3");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_ahead_of_time_waits_for_nothing() {
        let (provider, cache) = cache();
        cache.current().await.unwrap();
        provider.responses.forget_permits(1000);
        for (now, asked) in [(3400, 2), (3400, 2), (3409, 2)] {
            provider.now.store(now, Ordering::SeqCst);
            // It completes without yielding.
            let mut current = std::pin::pin!(cache.current());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let std::task::Poll::Ready(Ok(kept)) = current.as_mut().poll(&mut context) else {
                panic!("it waits")
            };
            assert_eq!(kept.id(), "id 0");
            while provider.asked() < asked {
                tokio::task::yield_now().await;
            }
            assert_eq!(provider.asked(), asked);
        }
        // After a timeout the provider is called again, and now it responds.
        tokio::time::sleep(AccessKeys::PATIENCE.max(AGAIN)).await;
        provider.responses.add_permits(1);
        provider.now.store(3410, Ordering::SeqCst);
        assert_eq!(id(&cache).await, "id 0");
        settled(&provider, &cache, 3).await;
        assert_eq!(id(&cache).await, "id 2");
    }

    #[tokio::test(start_paused = true)]
    async fn many_callers_ask_once() {
        let (provider, cache) = cache();
        let asking = |refused: Option<Arc<Kept<Credentials>>>| {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move {
                match refused {
                    None => cache.current().await.unwrap(),
                    Some(refused) => cache.other(&refused).await.unwrap().unwrap(),
                }
            })
        };
        for task in (0..20).map(|_| asking(None)).collect::<Vec<_>>() {
            assert_eq!(task.await.unwrap().id(), "id 0");
        }
        let refused = cache.current().await.unwrap();
        refused.prove();
        for task in (0..20).map(|_| asking(Some(refused.clone()))).collect::<Vec<_>>() {
            assert_eq!(task.await.unwrap().id(), "id 1");
        }
        // Nor does a late caller whose key was refused long ago.
        assert_eq!(cache.other(&refused).await.unwrap().unwrap().id(), "id 1");
        assert_eq!(provider.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn many_callers_share_a_failure() {
        let (provider, cache) = cache();
        provider.fail(true);
        let asking = |_| {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move { cache.current().await.unwrap_err() })
        };
        for task in (0..200).map(asking).collect::<Vec<_>>() {
            assert_eq!(task.await.unwrap().to_string(), "told to");
        }
        assert_eq!(provider.asked(), 1);
        // A transient failure may be over by now.
        provider.fail(false);
        assert_eq!(id(&cache).await, "id 1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_for_good_is_not_asked_for_again_at_once() {
        let (provider, cache) = cache_of(Duration::ZERO, SignErrorKind::PermissionDenied);
        provider.fail(true);
        for _ in 0..3 {
            assert_eq!(cache.current().await.unwrap_err().kind(), SignErrorKind::PermissionDenied);
        }
        assert_eq!(provider.asked(), 1);
        provider.fail(false);
        tokio::time::sleep(PAUSE).await;
        assert_eq!(id(&cache).await, "id 1");
    }

    /// Calls the cache with the limits of a signer: 3 s for each of four attempts, 10 s in total.
    async fn as_a_signer(cache: &Cache) -> Result<String, KmsError> {
        let request =
            |credentials: Arc<Kept<Credentials>>| async move { Ok(credentials.id().to_owned()) };
        RequestLimiter::new(Limits::default()).run(|| cache.with(request)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_may_take_longer_than_one_attempt() {
        let (provider, cache) = cache_of(Duration::from_millis(3500), SignErrorKind::Unavailable);
        assert_eq!(as_a_signer(&cache).await.unwrap(), "id 0");
        assert_eq!(provider.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_waited_for_is_said_in_the_end() {
        let (provider, cache) = cache_of(Duration::from_secs(60), SignErrorKind::Unavailable);
        let error = as_a_signer(&cache).await.unwrap_err();
        assert_eq!(error.to_string(), "there were no credentials within 8000 ms");
        assert_eq!(provider.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_does_not_answer_is_said_to() {
        let (provider, cache) = cache();
        provider.responses.forget_permits(1000);
        let begin = Instant::now();
        for _ in 0..3 {
            let error = cache.current().await.unwrap_err();
            assert_eq!(error.kind(), SignErrorKind::Timeout);
            assert_eq!(error.to_string(), "there were no credentials within 8000 ms");
            assert!(error.hint().contains("access keys"), "{}", error.hint());
        }
        // The following attempts do not wait again.
        assert!(
            begin.elapsed() < AccessKeys::PATIENCE + AccessKeys::SILENCE,
            "{:?}",
            begin.elapsed()
        );
        assert_eq!(provider.asked(), 1);
        tokio::time::sleep(AccessKeys::SILENCE).await;
        provider.responses.add_permits(1);
        assert_eq!(id(&cache).await, "id 1");
    }

    /// The service refuses every key, and the provider always has a new one.
    #[tokio::test(start_paused = true)]
    async fn what_was_just_obtained_and_never_taken_is_not_replaced() {
        let (provider, cache) = cache();
        let refused =
            || RequestFailure::Credential(KmsError::new(SignErrorKind::PermissionDenied, "no"));
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(20) {
            let signed = cache.with(async |_| Err::<(), _>(refused())).await;
            assert_eq!(signed.unwrap_err().to_string(), "no");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let most = 20 / PAUSE.as_secs() + 1;
        assert!((2..=most).contains(&provider.asked()), "{}", provider.asked());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_just_obtained_and_taken_is_replaced_at_once() {
        let (provider, cache) = cache();
        let mut taken = cache.with(async |key| Ok(key.id().to_owned())).await.unwrap();
        for number in 1..4 {
            // As if the key had been revoked: the next one is accepted.
            let other = cache.with(async |key| {
                if key.id() != taken {
                    return Ok(key.id().to_owned());
                }
                let error = KmsError::new(SignErrorKind::PermissionDenied, "no");
                Err(RequestFailure::Credential(error))
            });
            taken = other.await.unwrap();
            assert_eq!(taken, format!("id {number}"));
        }
        assert_eq!(provider.asked(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_no_others_says_so() {
        let fixed = Credentials::new("id", "secret");
        let clock = Arc::new(wxpay_auth_core::SystemClock);
        let cache = Cache::new(AccessKeys::new(Arc::new(fixed), clock));
        let kept = cache.current().await.unwrap();
        assert_eq!(kept.id(), "id");
        kept.prove();
        assert!(cache.other(&kept).await.unwrap().is_none());
    }
}
