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
    shared: Arc<Shared<S>>,
    flight: SingleFlight<Arc<Kept<S::Credential>>>,
    /// When the last early replacement was started.
    #[cfg(feature = "_access-key")]
    ahead: Mutex<Option<Instant>>,
}

/// The state shared with the task that calls the source.
struct Shared<S: CredentialSource> {
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
        let shared = Arc::new(Shared {
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
        tracing::debug!(error = %refused, "the credential was refused; requesting another one");
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
        let (shared, old) = (Arc::clone(&self.shared), Some(Arc::clone(kept)));
        let going_on = |error: &KmsError| {
            tracing::warn!(%error, "cannot obtain new credentials; using the old ones");
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

impl<S: CredentialSource> Shared<S> {
    async fn replace<F>(
        self: Arc<Self>,
        old: Option<Arc<Kept<S::Credential>>>,
        how: impl FnOnce(Arc<S>) -> F + Send,
    ) -> Result<Arc<Kept<S::Credential>>, KmsError>
    where
        F: Future<Output = Result<Kept<S::Credential>, KmsError>> + Send,
    {
        match self.kept.load_full() {
            Some(kept)
                if !old.is_some_and(|old| Arc::ptr_eq(&old, &kept))
                    && self.source.life(&kept) != Life::Ended =>
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
        let asked = tokio::time::timeout(S::PATIENCE, how(Arc::clone(&self.source))).await;
        let (asked, pause) = match asked {
            Ok(Ok(kept)) => (Ok(kept), Duration::ZERO),
            Ok(Err(error)) => {
                let pause = self.source.pause_after(&error);
                (Err(error), pause)
            }
            Err(_) => (Err(self.source.too_late()), S::SILENCE),
        };
        let failed = asked.as_ref().err().map(|error| (Instant::now() + pause, error.clone()));
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        let kept = Arc::new(asked?);
        self.kept.store(Some(Arc::clone(&kept)));
        #[cfg(feature = "vault")]
        self.changed.send_replace(Some(Instant::now()));
        Ok(kept)
    }
}

impl<S: CredentialSource> fmt::Debug for CredentialCache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CredentialCache").field(&self.shared.source).finish()
    }
}
