//! A cache of one credential, which replaces it before or when it expires.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
#[cfg(feature = "vault")]
use tokio::sync::watch;
use tokio::time::Instant;
use wxpay_auth_core::internal::log;

use super::request_failure::RequestFailure;
use super::single_flight::SingleFlight;
use crate::error::KmsError;

/// How long a refused credential that was just obtained is not replaced, and how long the source is
/// not called after a permanent failure: retrying sooner changes nothing, and credential services
/// throttle.
pub(super) const PAUSE: Duration = Duration::from_secs(5);
/// Minimum interval between early replacements of a credential that is still valid.
#[cfg(feature = "_access-key")]
pub(super) const AGAIN: Duration = Duration::from_secs(10);

/// The source of the credentials of a cache.
#[async_trait]
pub(crate) trait CredentialSource: fmt::Debug + Send + Sync + 'static {
    /// The credential of a request: an access key, a token.
    type Credential: Send + Sync + 'static;

    /// How long obtaining a credential may take. The default is shorter than the time limit of a
    /// signature, so that the error of the signature can name the cause.
    const PATIENCE: Duration = Duration::from_secs(8);
    /// How long the source is not called after a timeout: attempts in that time fail at once.
    const SILENCE: Duration = Duration::from_secs(1);

    /// Obtains a credential.
    async fn obtain(&self) -> Result<Self::Credential, KmsError>;

    /// Returns how much of its lifetime a credential has left.
    fn life(&self, credential: &Self::Credential) -> Life;

    /// Returns whether two credentials are the same, so that trying the other one is pointless.
    fn is_same(&self, one: &Self::Credential, other: &Self::Credential) -> bool;

    /// Returns the error of a source that took longer than [`PATIENCE`](Self::PATIENCE).
    fn too_late(&self) -> KmsError;

    /// Returns whether a refused credential should be replaced. It is new if it was just obtained
    /// and never accepted.
    fn replaces(&self, is_new: bool) -> bool {
        !is_new
    }

    /// Returns how long a failure is cached. A transient failure is not, because it may be over.
    fn pause_after(&self, failure: &KmsError) -> Duration {
        if failure.kind().is_transient() { Duration::ZERO } else { PAUSE }
    }
}

/// How much of its lifetime a credential has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Lasts,
    /// It is still valid, but should be replaced.
    #[cfg(feature = "_access-key")]
    EndsSoon,
    Ended,
}

/// Caches the credential of a source.
///
/// Concurrent callers share one call of the source, which runs in a task of its own, and its result
/// or error. While the credential is valid, nobody waits for its replacement; a caller that stops
/// waiting does not cancel the call.
pub(crate) struct CredentialCache<S: CredentialSource> {
    shared: Arc<CacheState<S>>,
    flight: SingleFlight<Arc<Kept<S::Credential>>>,
    /// When the last early replacement was started.
    #[cfg(feature = "_access-key")]
    ahead: Mutex<Option<Instant>>,
}

/// The state shared with the task that calls the source.
struct CacheState<S: CredentialSource> {
    source: Arc<S>,
    kept: ArcSwapOption<Kept<S::Credential>>,
    /// The last failure, and until when it is cached.
    failed: Mutex<Option<(Instant, KmsError)>>,
    /// When the credential was last replaced.
    #[cfg(feature = "vault")]
    changed: watch::Sender<Option<Instant>>,
}

/// A cached credential and its state.
#[derive(Debug)]
pub(crate) struct Kept<C> {
    credential: C,
    obtained: Instant,
    /// Whether the service has ever accepted it.
    proven: AtomicBool,
}

impl<C> Kept<C> {
    /// Wraps a credential that was just obtained.
    pub(crate) fn new(credential: C) -> Self {
        Self { credential, obtained: Instant::now(), proven: AtomicBool::new(false) }
    }

    /// Wraps the same credential with a longer lifetime.
    #[cfg(feature = "vault")]
    pub(crate) fn renewed(&self, credential: C) -> Self {
        let proven = AtomicBool::new(self.proven.load(Ordering::Relaxed));
        Self { credential, obtained: self.obtained, proven }
    }

    /// Notes that the service has accepted it.
    pub(super) fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    fn is_new(&self) -> bool {
        !self.proven.load(Ordering::Relaxed) && self.obtained.elapsed() < PAUSE
    }
}

impl<C> Deref for Kept<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.credential
    }
}

impl<S: CredentialSource> CredentialCache<S> {
    pub(crate) fn new(source: S) -> Self {
        let shared = Arc::new(CacheState {
            source: Arc::new(source),
            kept: ArcSwapOption::empty(),
            failed: Mutex::new(None),
            #[cfg(feature = "vault")]
            changed: watch::Sender::default(),
        });
        Self {
            shared,
            // The call itself times out before that, with a more precise error.
            flight: SingleFlight::new(S::PATIENCE * 2),
            #[cfg(feature = "_access-key")]
            ahead: Mutex::new(None),
        }
    }

    /// Sends a request, and sends it once more if its credential is refused and there is another
    /// one: credentials expire while requests are in flight.
    pub(crate) async fn with<T, F: Future<Output = Result<T, RequestFailure>>>(
        &self,
        request: impl Fn(Arc<Kept<S::Credential>>) -> F,
    ) -> Result<T, KmsError> {
        let kept = self.current().await?;
        let refused = match request(Arc::clone(&kept)).await {
            Ok(response) => {
                kept.prove();
                return Ok(response);
            }
            Err(RequestFailure::Other(error)) => return Err(error),
            Err(RequestFailure::Credential(error)) => error,
        };
        log::debug!(error = %refused, "the credential was refused; requesting another one");
        let Some(other) = self.other(&kept).await? else { return Err(refused) };
        let response = request(Arc::clone(&other)).await?;
        other.prove();
        Ok(response)
    }

    /// Returns a valid credential. If it expires soon, starts its replacement and returns the old
    /// one until then.
    pub(crate) async fn current(&self) -> Result<Arc<Kept<S::Credential>>, KmsError> {
        let kept = self.shared.kept.load_full();
        match kept.as_ref().map(|kept| self.shared.source.life(kept)).zip(kept.as_ref()) {
            Some((Life::Lasts, kept)) => return Ok(Arc::clone(kept)),
            #[cfg(feature = "_access-key")]
            Some((Life::EndsSoon, kept)) => {
                self.ask_ahead_of_time(kept);
                return Ok(Arc::clone(kept));
            }
            Some((Life::Ended, _)) | None => {}
        }
        self.obtained(kept).await
    }

    /// Starts a replacement without waiting for it, unless one is running or was started just now.
    #[cfg(feature = "_access-key")]
    fn ask_ahead_of_time(&self, kept: &Arc<Kept<S::Credential>>) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        *ahead = Some(Instant::now());
        // A failure is logged below.
        drop(ahead);
        let (shared, old) = (Arc::clone(&self.shared), Some(Arc::clone(kept)));
        let going_on = |error: &KmsError| {
            log::warn!(%error, "cannot obtain new credentials; using the old ones");
        };
        let question = || async move {
            let asked = shared.replace(old, obtain).await;
            asked.inspect_err(going_on)
        };
        if let Err(error) = self.flight.begin(question) {
            going_on(&error);
        }
    }

    /// Returns a credential other than the one that the service has refused; `None` if there is no
    /// other.
    pub(super) async fn other(
        &self,
        refused: &Arc<Kept<S::Credential>>,
    ) -> Result<Option<Arc<Kept<S::Credential>>>, KmsError> {
        let is_kept =
            self.shared.kept.load().as_ref().is_some_and(|kept| Arc::ptr_eq(kept, refused));
        let source = &self.shared.source;
        if !source.replaces(is_kept && refused.is_new()) {
            return Ok(None);
        }
        let other = self.obtained(Some(Arc::clone(refused))).await?;
        Ok(Some(other).filter(|other| !source.is_same(other, refused)))
    }

    /// Obtains a credential to replace `old`, unless another task has replaced it meanwhile.
    async fn obtained(
        &self,
        old: Option<Arc<Kept<S::Credential>>>,
    ) -> Result<Arc<Kept<S::Credential>>, KmsError> {
        self.replaced(old, obtain).await
    }

    /// Replaces `old` with the result of `how`, unless another task has replaced it meanwhile.
    pub(crate) async fn replaced<F>(
        &self,
        old: Option<Arc<Kept<S::Credential>>>,
        how: impl FnOnce(Arc<S>) -> F + Send + 'static,
    ) -> Result<Arc<Kept<S::Credential>>, KmsError>
    where
        F: Future<Output = Result<Kept<S::Credential>, KmsError>> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        self.flight.join(|| shared.replace(old, how)).await
    }

    /// Returns the cached credential, valid or not.
    #[cfg(feature = "vault")]
    pub(crate) fn kept(&self) -> Option<Arc<Kept<S::Credential>>> {
        self.shared.kept.load_full()
    }

    #[cfg(feature = "vault")]
    pub(crate) fn source(&self) -> &S {
        &self.shared.source
    }

    /// Returns a channel with the time of the last replacement, which notifies of the next one.
    #[cfg(feature = "vault")]
    pub(crate) fn changed(&self) -> watch::Receiver<Option<Instant>> {
        self.shared.changed.subscribe()
    }
}

async fn obtain<S: CredentialSource>(source: Arc<S>) -> Result<Kept<S::Credential>, KmsError> {
    source.obtain().await.map(Kept::new)
}

fn is_same<C>(one: Option<&Arc<Kept<C>>>, other: Option<&Arc<Kept<C>>>) -> bool {
    one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
}

impl<S: CredentialSource> CacheState<S> {
    async fn replace<F>(
        self: Arc<Self>,
        old: Option<Arc<Kept<S::Credential>>>,
        how: impl FnOnce(Arc<S>) -> F + Send,
    ) -> Result<Arc<Kept<S::Credential>>, KmsError>
    where
        F: Future<Output = Result<Kept<S::Credential>, KmsError>> + Send,
    {
        let before = self.kept.load_full();
        if let Some(kept) = self.newer_than(old.as_ref(), before.as_ref()) {
            return Ok(kept);
        }
        if let Some((until, error)) = &*self.failed.lock().unwrap_or_else(PoisonError::into_inner)
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        let asked = tokio::time::timeout(S::PATIENCE, how(Arc::clone(&self.source))).await;
        let (asked, pause) = match asked {
            Ok(Ok(kept)) => (Ok(kept), Duration::ZERO),
            Ok(Err(error)) => {
                let pause = self.source.pause_after(&error);
                (Err(error), pause)
            }
            Err(_) => (Err(self.source.too_late()), S::SILENCE),
        };
        self.keep(before.as_ref(), asked.map(Arc::new), pause)
    }

    /// Caches a response, unless the credential `before` the request was replaced meanwhile by one
    /// that is still valid, and returns the cached one: the runtime of a request may sleep while
    /// another one sends the next request, and such a late response counts for nothing.
    fn keep(
        &self,
        before: Option<&Arc<Kept<S::Credential>>>,
        asked: Result<Arc<Kept<S::Credential>>, KmsError>,
        pause: Duration,
    ) -> Result<Arc<Kept<S::Credential>>, KmsError> {
        loop {
            // This calls the clock of the application, so it is not done under the lock.
            let now = self.kept.load_full();
            if let Some(kept) = self.newer_than(before, now.as_ref()) {
                return Ok(kept);
            }
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            // Only changed under the lock.
            if !is_same(self.kept.load().as_ref(), now.as_ref()) {
                continue;
            }
            *failed = asked.as_ref().err().map(|error| (Instant::now() + pause, error.clone()));
            let kept = asked?;
            self.kept.store(Some(Arc::clone(&kept)));
            drop(failed);
            #[cfg(feature = "vault")]
            self.changed.send_replace(Some(Instant::now()));
            return Ok(kept);
        }
    }

    /// Returns the credential that is kept if it is another one than `old`, and still valid.
    fn newer_than(
        &self,
        old: Option<&Arc<Kept<S::Credential>>>,
        kept: Option<&Arc<Kept<S::Credential>>>,
    ) -> Option<Arc<Kept<S::Credential>>> {
        let is_newer = |kept: &&Arc<_>| !is_same(old, Some(*kept));
        kept.filter(is_newer).filter(|kept| self.source.life(kept) != Life::Ended).cloned()
    }
}

impl<S: CredentialSource> fmt::Debug for CredentialCache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CredentialCache").field(&self.shared.source).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::runtime::{Builder, Runtime};
    use tokio::sync::oneshot;
    use wxpay_auth_core::SignErrorKind;

    use super::*;

    type Answer = Result<(u8, Life), KmsError>;

    /// Answers each call when the test lets it.
    #[derive(Debug, Default)]
    struct Answers(Mutex<VecDeque<oneshot::Receiver<Answer>>>);

    #[async_trait]
    impl CredentialSource for Answers {
        type Credential = (u8, Life);

        async fn obtain(&self) -> Answer {
            let next = self.0.lock().unwrap().pop_front();
            next.expect("the source is not called again").await.unwrap()
        }

        fn life(&self, (_, life): &(u8, Life)) -> Life {
            *life
        }

        fn is_same(&self, one: &(u8, Life), other: &(u8, Life)) -> bool {
            one == other
        }

        fn too_late(&self) -> KmsError {
            KmsError::timeout(Self::PATIENCE)
        }
    }

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    }

    /// Calls the source on a runtime that then sleeps, and on another one, where it answers 2.
    /// Returns the result of the first call, when it gets this answer, and of a last call.
    fn answered_late(late: Answer) -> (Result<u8, KmsError>, Result<u8, KmsError>) {
        let answers = Answers::default();
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let (sender, receiver) = oneshot::channel();
                answers.0.lock().unwrap().push_back(receiver);
                sender
            })
            .collect();
        let [first, second] = <[_; 2]>::try_from(senders).unwrap();
        let cache = Arc::new(CredentialCache::new(answers));
        let current = || {
            let cache = Arc::clone(&cache);
            async move { cache.current().await.map(|kept| kept.0) }
        };
        let (sleeping, awake) = (runtime(), runtime());
        let waiting = sleeping.spawn(current());
        sleeping.block_on(async {
            while cache.shared.source.0.lock().unwrap().len() == 2 {
                tokio::task::yield_now().await;
            }
        });
        second.send(Ok((2, Life::Lasts))).unwrap();
        assert_eq!(awake.block_on(current()).unwrap(), 2);
        first.send(late).unwrap();
        (sleeping.block_on(waiting).unwrap(), awake.block_on(current()))
    }

    #[test]
    fn a_late_response_replaces_nothing_that_is_newer() {
        let refused = || KmsError::new(SignErrorKind::PermissionDenied, "told to");
        for late in [Ok((1, Life::Ended)), Ok((1, Life::Lasts)), Err(refused())] {
            let (first, last) = answered_late(late);
            assert_eq!((first.unwrap(), last.unwrap()), (2, 2));
        }
    }
}
