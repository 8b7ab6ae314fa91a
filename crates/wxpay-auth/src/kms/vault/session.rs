//! The token that is asked with: where it comes from, and when it is replaced.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::StatusCode;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use super::auth::{Method, VaultAuth};
use super::client::{Call, Client, read};
use super::login;
use super::token::{Lease, Token};
use crate::kms::error::KmsError;

/// How long a login that was refused is not tried again, and a token that was just obtained is not
/// replaced when it is refused: both are refused for what will not change by asking, and the service
/// locks out who fails too often.
const PAUSE: Duration = Duration::from_secs(5);
/// How long renewing may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks with a token, and keeps it.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    auth: VaultAuth,
    token: ArcSwapOption<Token>,
    /// Who holds it logs in or renews, while the others go on with the old token.
    gate: Mutex<Gate>,
    /// Told when there is another token.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Gate {
    failed: Option<(Instant, KmsError)>,
}

impl Session {
    pub(super) fn new(client: Client, auth: VaultAuth) -> Self {
        Self {
            client,
            auth,
            token: ArcSwapOption::empty(),
            gate: Mutex::default(),
            changed: Arc::default(),
        }
    }

    pub(super) fn auth(&self) -> &VaultAuth {
        &self.auth
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// Makes a request, and once more with another token where the service refuses the first.
    pub(super) async fn ask<T, P: DeserializeOwned>(
        &self,
        call: Call<'_>,
        part: impl FnOnce(P) -> Option<T>,
    ) -> Result<T, KmsError> {
        let mut token = self.current().await?;
        let mut answer = self.client.send(call, Some(token.secret())).await?;
        if answer.status == StatusCode::FORBIDDEN
            && let Some(other) = self.other(&token).await?
        {
            token = other;
            answer = self.client.send(call, Some(token.secret())).await?;
        }
        let read = read(&answer, call.doing, &[token.secret()], part)?;
        token.prove();
        Ok(read)
    }

    async fn current(&self) -> Result<Arc<Token>, KmsError> {
        match self.token.load_full() {
            // A token that was given may live longer than was said; the service knows.
            Some(token) if !token.has_ended() || !self.auth.has_others() => Ok(token),
            old => self.replaced(old.as_ref()).await,
        }
    }

    /// Returns another token than one that was refused; `None` when there is no hope of one.
    async fn other(&self, refused: &Arc<Token>) -> Result<Option<Arc<Token>>, KmsError> {
        let is_new = !refused.is_proven() && refused.age() < PAUSE;
        if !self.auth.has_others() || (self.auth.logs_in() && is_new && self.is_kept(refused)) {
            return Ok(None);
        }
        let other = self.replaced(Some(refused)).await?;
        Ok(Some(other).filter(|other| other.secret() != refused.secret()))
    }

    /// Logs in or reads the token anew, unless somebody else has meanwhile. Many callers lead to one
    /// login, and share its failure.
    async fn replaced(&self, old: Option<&Arc<Token>>) -> Result<Arc<Token>, KmsError> {
        let begin = Instant::now();
        let mut gate = self.gate.lock().await;
        match self.token.load_full() {
            Some(token) if !old.is_some_and(|old| Arc::ptr_eq(old, &token)) => return Ok(token),
            _ => {}
        }
        match &gate.failed {
            Some((end, error)) if *end > begin => Err(error.clone()),
            _ => self.obtain(&mut gate).await,
        }
    }

    async fn obtain(&self, gate: &mut Gate) -> Result<Arc<Token>, KmsError> {
        if let Some((end, error)) = &gate.failed
            && self.auth.logs_in()
            && !error.kind().is_transient()
            && end.elapsed() < PAUSE
        {
            return Err(error.clone());
        }
        match login::obtain(&self.client, &self.auth).await {
            Ok(token) => {
                gate.failed = None;
                Ok(self.keep(token))
            }
            Err(error) => {
                gate.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    fn keep(&self, token: Token) -> Arc<Token> {
        let token = Arc::new(token);
        self.token.store(Some(Arc::clone(&token)));
        self.changed.notify_one();
        token
    }

    fn is_kept(&self, token: &Arc<Token>) -> bool {
        self.token.load().as_ref().is_some_and(|kept| Arc::ptr_eq(kept, token))
    }

    /// Sees to it that the token lasts, and returns when that is to be done again; `None` when nothing
    /// can be done before there is another token.
    pub(super) async fn keep_alive(&self) -> Option<Instant> {
        let token = self.token.load_full()?;
        let lease = *token.lease()?;
        if Instant::now() < lease.due() {
            return Some(lease.due());
        }
        let left = lease.end().checked_duration_since(Instant::now())?;
        let error = match tokio::time::timeout(PATIENCE, self.prolong(&token, &lease)).await {
            Ok(Ok(())) => return self.token.load().as_ref()?.lease().map(Lease::due),
            Ok(Err(error)) => error,
            Err(_) => KmsError::timeout(PATIENCE),
        };
        if !self.auth.has_others() && !error.kind().is_transient() {
            tracing::warn!(%error, ?left, "the token of vault ends, and cannot be renewed");
            return None;
        }
        tracing::warn!(%error, ?left, "the token of vault ends, and could not be replaced yet");
        let wait = (left / 3).clamp(Duration::from_millis(100), Duration::from_secs(60));
        Some(Instant::now() + wait)
    }

    /// Renews the token, or obtains another one where it cannot last longer.
    async fn prolong(&self, token: &Arc<Token>, lease: &Lease) -> Result<(), KmsError> {
        let mut gate = self.gate.lock().await;
        if !self.is_kept(token) {
            return Ok(());
        }
        if let Method::Token(given) = &self.auth.method
            && *login::secret(given, "the token").await? != token.secret()
        {
            return self.obtain(&mut gate).await.map(drop);
        }
        if lease.renewable {
            match login::renew(&self.client, token).await {
                Ok(Some(longer)) if longer.outlasts(lease) => {
                    tracing::debug!(lease = ?longer, "the token of vault was renewed");
                    self.keep(token.renewed(longer));
                    return Ok(());
                }
                Ok(_) => tracing::debug!("the token of vault is as old as it may become"),
                Err(error) if error.kind().is_transient() => return Err(error),
                Err(error) => tracing::debug!(%error, "the token of vault was not renewed"),
            }
        }
        if self.auth.logs_in() {
            return self.obtain(&mut gate).await.map(drop);
        }
        Err(KmsError::setting(
            "the token cannot be renewed",
            "give one that can be, keep a new one in its file, or log in with an AppRole",
        ))
    }
}
