//! Credentials that are kept for as long as they last.

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

/// How long a credential that was just obtained is not replaced when it is refused, and its source is left
/// alone after it has failed for good: neither changes by asking, and who gives out credentials throttles.
pub(super) const PAUSE: Duration = Duration::from_secs(5);
/// How long one that still lasts is gone on with, after a new one was asked for.
#[cfg(feature = "_access-key")]
pub(super) const AGAIN: Duration = Duration::from_secs(10);

/// Where a cache gets its credentials.
#[async_trait]
pub(crate) trait CredentialSource: fmt::Debug + Send + Sync + 'static {
    /// What requests are made with: an access key, a token.
    type Credential: Send + Sync + 'static;

    /// How long getting one may take. By default, it is less than a signature may take, which so can say
    /// what it waited for.
    const PATIENCE: Duration = Duration::from_secs(8);
    /// How long the source is left alone after it took longer: attempts that follow end at once.
    const SILENCE: Duration = Duration::from_secs(1);

    /// Gets a credential.
    async fn obtain(&self) -> Result<Self::Credential, KmsError>;

    /// Tells how long a credential lasts.
    fn life(&self, credential: &Self::Credential) -> Life;

    /// Tells whether two are the same, so that nothing is gained by the other.
    fn is_same(&self, one: &Self::Credential, other: &Self::Credential) -> bool;

    /// Makes the error of a source that took longer than [`PATIENCE`](Self::PATIENCE).
    fn too_late(&self) -> KmsError;

    /// Tells whether one that was refused is to be replaced. It is new when it was just obtained, and never
    /// accepted.
    fn replaces(&self, is_new: bool) -> bool {
        !is_new
    }

    /// Returns how long a failure stands for what would be asked. What passes may have passed.
    fn pause_after(&self, failure: &KmsError) -> Duration {
        if failure.kind().is_transient() { Duration::ZERO } else { PAUSE }
    }
}

/// How long a credential lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Lasts,
    /// It lasts, and another one is to be asked for.
    #[cfg(feature = "_access-key")]
    EndsSoon,
    Ended,
}

/// Keeps the credential of a source.
///
/// Many callers lead to one question, in a task of its own, and share what comes of it, the failure
/// included. Nobody waits for it while there is a credential that lasts; who gives up waiting does not
/// end it.
pub(crate) struct CredentialCache<S: CredentialSource> {
    shared: Arc<Shared<S>>,
    flight: SingleFlight<Arc<Kept<S::Credential>>>,
    /// When a new one was last asked for ahead of time.
    #[cfg(feature = "_access-key")]
    ahead: Mutex<Option<Instant>>,
}

/// What the task needs that asks.
struct Shared<S: CredentialSource> {
    source: Arc<S>,
    kept: ArcSwapOption<Kept<S::Credential>>,
    /// A failure, and until when it stands for what would be asked.
    failed: Mutex<Option<(Instant, KmsError)>>,
    /// When there was another credential last.
    #[cfg(feature = "vault")]
    changed: watch::Sender<Option<Instant>>,
}

/// A credential, and what is known of it.
#[derive(Debug)]
pub(crate) struct Kept<C> {
    credential: C,
    obtained: Instant,
    /// Whether the service has ever taken it.
    proven: AtomicBool,
}

impl<C> Kept<C> {
    /// Takes one that was just obtained.
    pub(crate) fn new(credential: C) -> Self {
        Self { credential, obtained: Instant::now(), proven: AtomicBool::new(false) }
    }

    /// Takes the same credential with a longer life.
    #[cfg(feature = "vault")]
    pub(crate) fn renewed(&self, credential: C) -> Self {
        let proven = AtomicBool::new(self.proven.load(Ordering::Relaxed));
        Self { credential, obtained: self.obtained, proven }
    }

    /// Notes that the service has taken it.
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
            // The question ends before that, with an error of its own.
            flight: SingleFlight::new(S::PATIENCE * 2),
            #[cfg(feature = "_access-key")]
            ahead: Mutex::new(None),
        }
    }

    /// Makes a request, and once more when its credential is refused and there is another one: they
    /// expire while requests are on their way.
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
        tracing::debug!(error = %refused, "the credential is refused; asking for another one");
        let Some(other) = self.other(&kept).await? else { return Err(refused) };
        let response = request(Arc::clone(&other)).await?;
        other.prove();
        Ok(response)
    }

    /// Returns a credential that lasts. When it ends soon, a new one is asked for, and the old one
    /// serves until it is there.
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

    /// Asks for a new one, unless somebody does, or did so just now, and waits for nothing.
    #[cfg(feature = "_access-key")]
    fn ask_ahead_of_time(&self, kept: &Arc<Kept<S::Credential>>) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        *ahead = Some(Instant::now());
        let (shared, old) = (Arc::clone(&self.shared), Some(Arc::clone(kept)));
        let going_on = |error: &KmsError| {
            tracing::warn!(%error, "no new credentials; going on with the old ones");
        };
        let question = || async move {
            let asked = shared.replace(old, obtain).await;
            asked.inspect_err(going_on)
        };
        if let Err(error) = self.flight.begin(question) {
            going_on(&error);
        }
    }

    /// Returns another credential than one that the service has refused; `None` when there is no hope
    /// of one.
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

    /// Gets another one than this, unless somebody has meanwhile.
    async fn obtained(
        &self,
        old: Option<Arc<Kept<S::Credential>>>,
    ) -> Result<Arc<Kept<S::Credential>>, KmsError> {
        self.replaced(old, obtain).await
    }

    /// Puts what comes of `how` in the place of `old`, unless somebody has meanwhile.
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

    /// Returns the one that is kept, if it still lasts or not.
    #[cfg(feature = "vault")]
    pub(crate) fn kept(&self) -> Option<Arc<Kept<S::Credential>>> {
        self.shared.kept.load_full()
    }

    #[cfg(feature = "vault")]
    pub(crate) fn source(&self) -> &S {
        &self.shared.source
    }

    /// Tells when there was another credential last, and when there is another one.
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
