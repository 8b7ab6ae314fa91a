//! Credentials that are kept for as long as they last.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::time::Instant;
use wxpay_auth_core::{Clock, SignErrorKind, Timestamp};

use super::provider::{CredentialProvider, Credentials};
use super::single_flight::SingleFlight;
use crate::error::KmsError;

/// How long before they expire new ones are asked for.
const AHEAD_SECS: i64 = 300;
/// How long those that still last are gone on with, after new ones were asked for.
const AGAIN_SECS: i64 = 10;
/// How long a provider may take. It is less than a signature may, by default, which so can say what
/// it waited for.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a provider is left alone after it did not answer: attempts that follow end at once.
const SILENCE: Duration = Duration::from_secs(1);
/// How long credentials that were just obtained are not replaced when they are refused, and a provider
/// is left alone that failed for good: neither changes by asking, and who gives out keys throttles.
const PAUSE: Duration = Duration::from_secs(5);

/// Keeps the credentials of a provider.
///
/// Many callers lead to one question, in a task of its own, and share what comes of it, the failure
/// included. Nobody waits for it while there are credentials that last; who gives up waiting does not
/// end it.
pub(crate) struct CredentialCache {
    shared: Arc<Shared>,
    flight: SingleFlight<Arc<Kept>>,
    /// When new ones were last asked for ahead of time.
    ahead: Mutex<Option<Timestamp>>,
}

/// What the task needs that asks.
struct Shared {
    provider: Arc<dyn CredentialProvider>,
    clock: Arc<dyn Clock>,
    kept: ArcSwapOption<Kept>,
    /// A failure, and until when it stands for what would be asked.
    failed: Mutex<Option<(Instant, KmsError)>>,
}

/// Credentials, and what is known of them.
#[derive(Debug)]
pub(crate) struct Kept {
    credentials: Credentials,
    obtained: Instant,
    /// Whether the service has ever taken them.
    proven: AtomicBool,
}

impl Kept {
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Notes that the service has taken them.
    pub(crate) fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    fn is_new(&self) -> bool {
        !self.proven.load(Ordering::Relaxed) && self.obtained.elapsed() < PAUSE
    }
}

impl CredentialCache {
    pub(crate) fn new(provider: Arc<dyn CredentialProvider>, clock: Arc<dyn Clock>) -> Self {
        let (kept, failed) = (ArcSwapOption::empty(), Mutex::new(None));
        let shared = Arc::new(Shared { provider, clock, kept, failed });
        // The question ends before that, with an error of its own.
        Self { shared, flight: SingleFlight::new(PATIENCE * 2), ahead: Mutex::new(None) }
    }

    /// Returns credentials that last. When they expire soon, new ones are asked for, and the old ones
    /// serve until they are there.
    pub(crate) async fn current(&self) -> Result<Arc<Kept>, KmsError> {
        match self.shared.kept.load_full() {
            Some(kept) if self.shared.left(&kept) > AHEAD_SECS => Ok(kept),
            Some(kept) if self.shared.left(&kept) > 0 => {
                self.ask_ahead_of_time(&kept);
                Ok(kept)
            }
            old => self.ask(old).await,
        }
    }

    /// Asks for new ones, unless somebody does, or did so just now, and waits for nothing.
    fn ask_ahead_of_time(&self, kept: &Arc<Kept>) {
        let now = self.shared.clock.now();
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.is_some_and(|at| (0..AGAIN_SECS).contains(&now.seconds_after(at))) {
            return;
        }
        *ahead = Some(now);
        let (shared, old) = (Arc::clone(&self.shared), Some(Arc::clone(kept)));
        if let Err(error) = self.flight.begin(|| shared.ask(old)) {
            tracing::warn!(%error, "no new credentials; going on with the old ones");
        }
    }

    /// Returns other credentials than those that the service has refused; `None` when there is no hope
    /// of others.
    pub(crate) async fn renewed(&self, refused: &Arc<Kept>) -> Result<Option<Arc<Kept>>, KmsError> {
        let is_kept =
            self.shared.kept.load().as_ref().is_some_and(|kept| Arc::ptr_eq(kept, refused));
        if is_kept && refused.is_new() {
            return Ok(None);
        }
        let other = self.ask(Some(Arc::clone(refused))).await?;
        Ok(Some(other).filter(|other| !other.credentials.is_same(&refused.credentials)))
    }

    /// Asks for other ones than these, and waits for the response.
    async fn ask(&self, old: Option<Arc<Kept>>) -> Result<Arc<Kept>, KmsError> {
        let shared = Arc::clone(&self.shared);
        self.flight.join(|| shared.ask(old)).await
    }
}

impl Shared {
    /// Asks the provider, unless somebody has meanwhile.
    async fn ask(self: Arc<Self>, old: Option<Arc<Kept>>) -> Result<Arc<Kept>, KmsError> {
        match self.kept.load_full() {
            Some(kept)
                if !old.is_some_and(|old| Arc::ptr_eq(&old, &kept)) && self.left(&kept) > 0 =>
            {
                return Ok(kept);
            }
            _ => {}
        }
        if let Some((until, error)) = &*self.failed.lock().unwrap_or_else(PoisonError::into_inner)
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        let (asked, pause) = match tokio::time::timeout(PATIENCE, self.provider.credentials()).await
        {
            Ok(Err(error)) if error.kind().is_transient() => (Err(error), Duration::ZERO),
            Ok(asked) => (asked, PAUSE),
            Err(_) => (Err(too_late()), SILENCE),
        };
        let failed = asked.as_ref().err().map(|error| (Instant::now() + pause, error.clone()));
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        match asked {
            Ok(credentials) => {
                let (obtained, proven) = (Instant::now(), AtomicBool::new(false));
                let kept = Arc::new(Kept { credentials, obtained, proven });
                self.kept.store(Some(Arc::clone(&kept)));
                Ok(kept)
            }
            Err(error) => {
                if self.kept.load().as_ref().is_some_and(|kept| self.left(kept) > 0) {
                    tracing::warn!(%error, "no new credentials; going on with the old ones");
                }
                Err(error)
            }
        }
    }

    fn left(&self, kept: &Kept) -> i64 {
        let end = kept.credentials.expires_at();
        end.map_or(i64::MAX, |end| end.seconds_after(self.clock.now()))
    }
}

fn too_late() -> KmsError {
    let message = format!("there were no credentials within {} ms", PATIENCE.as_millis());
    KmsError::new(SignErrorKind::Timeout, message)
        .with_hint("the key service was not asked: check what gives out the access keys")
}

impl fmt::Debug for CredentialCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CredentialCache").field(&self.shared.provider).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64};

    use async_trait::async_trait;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::cloud::refusal::Refusal;
    use crate::request_limits::{Calls, Limits};

    /// Gives out credentials with a number and a life of an hour, or fails.
    #[derive(Debug)]
    struct Numbered {
        asked: AtomicU64,
        failing: AtomicBool,
        kind: SignErrorKind,
        /// Each response takes one; there are plenty unless a test takes them away.
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

    fn cache_of(takes: Duration, kind: SignErrorKind) -> (Arc<Numbered>, Arc<CredentialCache>) {
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
        let cache = CredentialCache::new(Arc::clone(&provider) as _, Arc::new(clock));
        (provider, Arc::new(cache))
    }

    fn cache() -> (Arc<Numbered>, Arc<CredentialCache>) {
        cache_of(Duration::from_millis(1), SignErrorKind::Unavailable)
    }

    async fn id(cache: &CredentialCache) -> String {
        cache.current().await.unwrap().credentials().id().to_owned()
    }

    /// Waits until the provider has been asked so often, and what came of it is kept.
    async fn settled(provider: &Numbered, cache: &CredentialCache, asked: u64) {
        while provider.asked() < asked {
            tokio::task::yield_now().await;
        }
        // Who joins now waits for the end of the question.
        let _ = cache.flight.join(|| async { Err(too_late()) }).await;
    }

    #[tokio::test(start_paused = true)]
    async fn they_are_kept_until_five_minutes_before_they_expire() {
        let (provider, cache) = cache();
        assert_eq!(id(&cache).await, "id 0");
        provider.now.store(3299, Ordering::SeqCst);
        assert_eq!(id(&cache).await, "id 0");
        assert_eq!(provider.asked(), 1);
        provider.now.store(3300, Ordering::SeqCst);
        assert_eq!(id(&cache).await, "id 0");
        settled(&provider, &cache, 2).await;
        assert_eq!(id(&cache).await, "id 1");
        provider.now.store(20_000, Ordering::SeqCst);
        assert_eq!(id(&cache).await, "id 2");
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
            // It does not even let others run.
            let mut current = std::pin::pin!(cache.current());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            let std::task::Poll::Ready(Ok(kept)) = current.as_mut().poll(&mut context) else {
                panic!("it waits")
            };
            assert_eq!(kept.credentials().id(), "id 0");
            while provider.asked() < asked {
                tokio::task::yield_now().await;
            }
            assert_eq!(provider.asked(), asked);
        }
        // It is asked again where there was no response in time, and then there is one.
        tokio::time::sleep(PATIENCE + SILENCE).await;
        provider.responses.add_permits(1);
        provider.now.store(3410, Ordering::SeqCst);
        assert_eq!(id(&cache).await, "id 0");
        settled(&provider, &cache, 3).await;
        assert_eq!(id(&cache).await, "id 2");
    }

    #[tokio::test(start_paused = true)]
    async fn many_callers_ask_once() {
        let (provider, cache) = cache();
        let asking = |refused: Option<Arc<Kept>>| {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move {
                match refused {
                    None => cache.current().await.unwrap(),
                    Some(refused) => cache.renewed(&refused).await.unwrap().unwrap(),
                }
            })
        };
        for task in (0..20).map(|_| asking(None)).collect::<Vec<_>>() {
            assert_eq!(task.await.unwrap().credentials().id(), "id 0");
        }
        let refused = cache.current().await.unwrap();
        refused.prove();
        for task in (0..20).map(|_| asking(Some(refused.clone()))).collect::<Vec<_>>() {
            assert_eq!(task.await.unwrap().credentials().id(), "id 1");
        }
        // Nor does one who comes late, with what was refused long ago.
        assert_eq!(cache.renewed(&refused).await.unwrap().unwrap().credentials().id(), "id 1");
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
        // What passes may have passed.
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

    /// Asks as a signer does, with its own bounds: 3 s for each of four attempts, 10 s in all.
    async fn as_a_signer(cache: &CredentialCache) -> Result<String, KmsError> {
        let request = |credentials: Credentials| async move { Ok(credentials.id().to_owned()) };
        Calls::new(Limits::default()).run(|| cache.with(request)).await
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
        // The attempts that follow do not wait once more.
        assert!(begin.elapsed() < PATIENCE + SILENCE, "{:?}", begin.elapsed());
        assert_eq!(provider.asked(), 1);
        tokio::time::sleep(SILENCE).await;
        provider.responses.add_permits(1);
        assert_eq!(id(&cache).await, "id 1");
    }

    /// The service refuses every key, and there are always new ones.
    #[tokio::test(start_paused = true)]
    async fn what_was_just_obtained_and_never_taken_is_not_replaced() {
        let (provider, cache) = cache();
        let refused = || Refusal::Credentials(KmsError::new(SignErrorKind::PermissionDenied, "no"));
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
            // As if it had been revoked; the next one is taken.
            let other = cache.with(async |key| {
                if key.id() != taken {
                    return Ok(key.id().to_owned());
                }
                let error = KmsError::new(SignErrorKind::PermissionDenied, "no");
                Err(Refusal::Credentials(error))
            });
            taken = other.await.unwrap();
            assert_eq!(taken, format!("id {number}"));
        }
        assert_eq!(provider.asked(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_no_others_says_so() {
        let fixed = Credentials::new("id", "secret");
        let cache = CredentialCache::new(Arc::new(fixed), Arc::new(wxpay_auth_core::SystemClock));
        let kept = cache.current().await.unwrap();
        assert_eq!(kept.credentials().id(), "id");
        kept.prove();
        assert!(cache.renewed(&kept).await.unwrap().is_none());
    }
}
