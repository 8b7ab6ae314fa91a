//! Credentials that are kept for as long as they last.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use super::super::error::KmsError;
use super::credentials::{CredentialProvider, Credentials};
use crate::clock::{Clock, Timestamp};

/// How long before they expire new ones are asked for.
const AHEAD_SECS: i64 = 300;
/// How long those that still last are gone on with, after new ones were asked for in vain.
const AGAIN_SECS: i64 = 10;

/// Keeps the credentials of a provider. Many callers lead to one question; nobody waits for its
/// answer while there are some that last.
pub(in crate::kms) struct CredentialCache {
    provider: Arc<dyn CredentialProvider>,
    clock: Arc<dyn Clock>,
    kept: ArcSwapOption<Credentials>,
    /// Held by whoever asks the provider. When it was last asked ahead of time is in it.
    asking: Mutex<Option<Timestamp>>,
}

impl CredentialCache {
    pub(super) fn new(provider: Arc<dyn CredentialProvider>, clock: Arc<dyn Clock>) -> Self {
        Self { provider, clock, kept: ArcSwapOption::empty(), asking: Mutex::new(None) }
    }

    /// Returns credentials that do not expire soon. When there are no new ones to be had, the old
    /// ones are returned for as long as they last.
    pub(in crate::kms) async fn current(&self) -> Result<Credentials, KmsError> {
        match self.kept.load_full() {
            Some(kept) if self.left(&kept) > AHEAD_SECS => Ok((*kept).clone()),
            Some(kept) if self.left(&kept) > 0 => Ok(self.ahead_of_time(&kept).await),
            _ => {
                let _asking = self.asking.lock().await;
                match self.kept.load_full() {
                    // Another caller got them meanwhile.
                    Some(kept) if self.left(&kept) > 0 => Ok((*kept).clone()),
                    _ => self.ask().await,
                }
            }
        }
    }

    /// Asks for new ones, unless somebody does, or did so just now.
    async fn ahead_of_time(&self, kept: &Credentials) -> Credentials {
        let Ok(mut asked_at) = self.asking.try_lock() else { return kept.clone() };
        let now = self.clock.now();
        if asked_at.is_some_and(|at| (0..AGAIN_SECS).contains(&now.seconds_after(at))) {
            return kept.clone();
        }
        // Before the answer: who asks may give up waiting for it.
        *asked_at = Some(now);
        match self.ask().await {
            Ok(new) => new,
            Err(error) => {
                tracing::warn!(%error, "no new credentials; going on with the old ones");
                kept.clone()
            }
        }
    }

    /// Returns other credentials than those that the service has refused; `None` when the provider
    /// has no others.
    pub(super) async fn renewed(
        &self,
        refused: &Credentials,
    ) -> Result<Option<Credentials>, KmsError> {
        let _asking = self.asking.lock().await;
        if let Some(kept) = self.kept.load_full().filter(|kept| !kept.is_same(refused)) {
            return Ok(Some((*kept).clone()));
        }
        Ok(Some(self.ask().await?).filter(|new| !new.is_same(refused)))
    }

    async fn ask(&self) -> Result<Credentials, KmsError> {
        let new = self.provider.credentials().await?;
        self.kept.store(Some(Arc::new(new.clone())));
        Ok(new)
    }

    fn left(&self, credentials: &Credentials) -> i64 {
        credentials.expires_at().map_or(i64::MAX, |end| end.seconds_after(self.clock.now()))
    }
}

impl fmt::Debug for CredentialCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CredentialCache").field(&self.provider).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;

    use super::*;
    use crate::sign_error::SignErrorKind;

    /// Gives out credentials with a number and a life of an hour, or fails.
    #[derive(Debug, Default)]
    struct Numbered {
        asked: AtomicU64,
        failing: AtomicU64,
        hanging: AtomicBool,
        now: Arc<AtomicU64>,
    }

    #[async_trait]
    impl CredentialProvider for Numbered {
        async fn credentials(&self) -> Result<Credentials, KmsError> {
            let number = self.asked.fetch_add(1, Ordering::SeqCst);
            if self.hanging.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            // Others get a chance to ask as well.
            tokio::task::yield_now().await;
            if self.failing.load(Ordering::SeqCst) > 0 {
                return Err(KmsError::new(SignErrorKind::Unavailable, "told to"));
            }
            let end = self.now.load(Ordering::SeqCst) + 3600;
            Ok(Credentials::new(format!("id {number}"), "secret")
                .with_session_token("token")
                .with_expiry(Timestamp::from_unix_secs(end)))
        }
    }

    fn cache() -> (Arc<Numbered>, Arc<CredentialCache>) {
        let provider = Arc::new(Numbered::default());
        let now = Arc::clone(&provider.now);
        let clock = move || Timestamp::from_unix_secs(now.load(Ordering::SeqCst));
        let cache = CredentialCache::new(Arc::clone(&provider) as _, Arc::new(clock));
        (provider, Arc::new(cache))
    }

    #[tokio::test]
    async fn they_are_kept_until_five_minutes_before_they_expire() {
        let (provider, cache) = cache();
        let id_at = async |secs| {
            provider.now.store(secs, Ordering::SeqCst);
            cache.current().await.unwrap().id().to_owned()
        };
        assert_eq!(id_at(0).await, "id 0");
        assert_eq!(id_at(3299).await, "id 0");
        assert_eq!(id_at(3300).await, "id 1");
        assert_eq!(id_at(20_000).await, "id 2");
    }

    #[tokio::test]
    async fn old_ones_serve_until_they_expire() {
        let (provider, cache) = cache();
        cache.current().await.unwrap();
        provider.failing.store(1, Ordering::SeqCst);
        provider.now.store(3599, Ordering::SeqCst);
        assert_eq!(cache.current().await.unwrap().id(), "id 0");
        provider.now.store(3600, Ordering::SeqCst);
        cache.current().await.unwrap_err();
        provider.failing.store(0, Ordering::SeqCst);
        assert_eq!(cache.current().await.unwrap().id(), "id 3");
    }

    #[tokio::test]
    async fn many_callers_ask_once() {
        let (provider, cache) = cache();
        let asking = |refused: Option<Credentials>| {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move {
                match refused {
                    None => cache.current().await.unwrap(),
                    Some(refused) => cache.renewed(&refused).await.unwrap().unwrap(),
                }
            })
        };
        for task in (0..20).map(|_| asking(None)).collect::<Vec<_>>() {
            assert_eq!(task.await.unwrap().id(), "id 0");
        }
        let refused = cache.current().await.unwrap();
        for task in (0..20).map(|_| asking(Some(refused.clone()))).collect::<Vec<_>>() {
            assert_eq!(task.await.unwrap().id(), "id 1");
        }
        assert_eq!(provider.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn who_has_no_others_says_so() {
        let fixed = Credentials::new("id", "secret");
        let cache = CredentialCache::new(Arc::new(fixed.clone()), Arc::new(crate::SystemClock));
        assert_eq!(cache.current().await.unwrap().id(), "id");
        assert!(cache.renewed(&fixed).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_provider_that_does_not_answer_holds_nobody_up() {
        let (provider, cache) = cache();
        cache.current().await.unwrap();
        provider.hanging.store(true, Ordering::SeqCst);
        let id_at = async |secs| {
            provider.now.store(secs, Ordering::SeqCst);
            let current = tokio::time::timeout(Duration::from_millis(20), cache.current()).await;
            current.map(|credentials| credentials.unwrap().id().to_owned())
        };
        id_at(3400).await.unwrap_err();
        assert_eq!(id_at(3400).await.unwrap(), "id 0");
        assert_eq!(id_at(3409).await.unwrap(), "id 0");
        id_at(3410).await.unwrap_err();
        // While one caller waits, others go on.
        provider.now.store(3420, Ordering::SeqCst);
        let waiting = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move { cache.current().await }
        });
        while provider.asked.load(Ordering::SeqCst) < 4 {
            tokio::task::yield_now().await;
        }
        assert_eq!(id_at(3440).await.unwrap(), "id 0");
        waiting.abort();
        let _ = waiting.await;
        provider.hanging.store(false, Ordering::SeqCst);
        assert_eq!(id_at(3440).await.unwrap(), "id 4");
    }
}
