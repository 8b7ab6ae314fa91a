//! With what a cloud is asked: an access key, and where it comes from.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::error::KmsError;
use super::secret::Secret;
use crate::clock::{Clock, Timestamp};

/// Holds an access key of a cloud: its id, its secret, and for a while only, a session token.
#[derive(Clone)]
pub struct Credentials {
    id: String,
    secret: Arc<Zeroizing<String>>,
    session_token: Option<Arc<Zeroizing<String>>>,
    expires_at: Option<Timestamp>,
}

impl Credentials {
    /// Takes an access key that does not expire: `SecretId` and `SecretKey` of Tencent Cloud,
    /// `AccessKeyId` and `AccessKeySecret` of Alibaba Cloud.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        let secret = Arc::new(Zeroizing::new(secret.into()));
        Self { id: id.into(), secret, session_token: None, expires_at: None }
    }

    /// Adds the session token of a temporary access key.
    #[must_use]
    pub fn with_session_token(mut self, token: impl Into<String>) -> Self {
        self.session_token = Some(Arc::new(Zeroizing::new(token.into())));
        self
    }

    /// Adds when it expires.
    #[must_use]
    pub fn with_expiry(mut self, expires_at: Timestamp) -> Self {
        self.expires_at = Some(expires_at);
        self
    }

    /// Takes an access key from three environment variables, of which the last may be missing.
    pub(super) fn variables(
        id: &'static str,
        secret: &'static str,
        token: &'static str,
    ) -> Result<Self, KmsError> {
        let read = |name| Secret::variable(name).and_then(|secret| secret.read());
        let credentials = Self::new(read(id)?.as_str(), read(secret)?.as_str());
        Ok(match read(token) {
            Ok(token) => credentials.with_session_token(token.as_str()),
            Err(_) => credentials,
        })
    }

    /// Returns the id of the access key, which is no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns when it expires, where it does.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    pub(super) fn session_token(&self) -> Option<&str> {
        self.session_token.as_ref().map(|token| token.as_str())
    }

    fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
            && self.secret == other.secret
            && self.session_token() == other.session_token()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("id", &self.id)
            .field("has_session_token", &self.session_token.is_some())
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Gets access keys. They are kept until shortly before they expire, and asked for again then, or
/// when the service refuses them.
#[async_trait]
pub trait CredentialProvider: fmt::Debug + Send + Sync {
    /// Gets an access key.
    ///
    /// # Errors
    /// [`KmsError`]: there is none, or it cannot be had at the moment.
    async fn credentials(&self) -> Result<Credentials, KmsError>;
}

#[async_trait]
impl CredentialProvider for Credentials {
    async fn credentials(&self) -> Result<Credentials, KmsError> {
        Ok(self.clone())
    }
}

#[async_trait]
impl<P: CredentialProvider + ?Sized> CredentialProvider for Arc<P> {
    async fn credentials(&self) -> Result<Credentials, KmsError> {
        (**self).credentials().await
    }
}

/// How long before they expire new ones are asked for.
const AHEAD_SECS: i64 = 300;

/// Keeps the credentials of a provider. Many callers lead to one question.
pub(super) struct CredentialCache {
    provider: Arc<dyn CredentialProvider>,
    clock: Arc<dyn Clock>,
    kept: Mutex<Option<Credentials>>,
}

impl CredentialCache {
    pub(super) fn new(provider: Arc<dyn CredentialProvider>, clock: Arc<dyn Clock>) -> Self {
        Self { provider, clock, kept: Mutex::new(None) }
    }

    /// Returns credentials that do not expire soon. When there are no new ones to be had, the old
    /// ones are returned for as long as they last.
    pub(super) async fn current(&self) -> Result<Credentials, KmsError> {
        let mut kept = self.kept.lock().await;
        let left = |credentials: &Credentials| {
            credentials.expires_at.map_or(i64::MAX, |end| end.seconds_after(self.clock.now()))
        };
        match &*kept {
            Some(credentials) if left(credentials) > AHEAD_SECS => Ok(credentials.clone()),
            Some(credentials) if left(credentials) > 0 => {
                let old = credentials.clone();
                match self.provider.credentials().await {
                    Ok(new) => Ok(kept.insert(new).clone()),
                    Err(error) => {
                        tracing::warn!(%error, "no new credentials; going on with the old ones");
                        Ok(old)
                    }
                }
            }
            _ => Ok(kept.insert(self.provider.credentials().await?).clone()),
        }
    }

    /// Returns other credentials than those that the service has refused; `None` when the provider
    /// has no others.
    pub(super) async fn renewed(
        &self,
        refused: &Credentials,
    ) -> Result<Option<Credentials>, KmsError> {
        let mut kept = self.kept.lock().await;
        if let Some(credentials) = kept.as_ref().filter(|kept| !kept.is_same(refused)) {
            return Ok(Some(credentials.clone()));
        }
        let new = kept.insert(self.provider.credentials().await?);
        Ok(Some(new.clone()).filter(|new| !new.is_same(refused)))
    }
}

impl fmt::Debug for CredentialCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CredentialCache").field(&self.provider).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::sign_error::SignErrorKind;

    /// Gives out credentials with a number and a life of an hour, or fails.
    #[derive(Debug, Default)]
    struct Numbered {
        asked: AtomicU64,
        failing: AtomicU64,
        now: Arc<AtomicU64>,
    }

    #[async_trait]
    impl CredentialProvider for Numbered {
        async fn credentials(&self) -> Result<Credentials, KmsError> {
            let number = self.asked.fetch_add(1, Ordering::SeqCst);
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

    #[test]
    fn secrets_are_not_shown() {
        let credentials = Credentials::new("AKID", "hunter2").with_session_token("hunter3");
        let shown = format!("{credentials:?}");
        assert!(shown.contains("AKID") && !shown.contains("hunter"), "{shown}");
    }
}
