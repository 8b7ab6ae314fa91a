//! The token that is asked with: where it comes from, and when it is replaced.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::StatusCode;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;
use wxpay_auth_core::SignErrorKind;

use super::approval::{Approval, Approvals, Standing, StandingResponse};
use super::auth::{Method, VaultAuth};
use super::client::{Call, Client, held, read};
use super::lockout::Lockout;
use super::login;
use super::questions::Questions;
use super::refusal::{Doing, NotHad, is_unknown, not_had};
use super::token::{Lease, Token};
use crate::error::KmsError;
use crate::http::client::Response;
use crate::runtimes::FOREIGN_PATIENCE;
use crate::single_flight::SingleFlight;

/// How long a token that was just obtained is not replaced when it is refused: it is refused for what
/// will not change by asking.
const PAUSE: Duration = Duration::from_secs(5);
/// How long logging in, or renewing, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it is waited before the token is renewed again, after that has failed.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);

/// Asks with a token, and keeps it.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    auth: VaultAuth,
    token: ArcSwapOption<Token>,
    lockout: Lockout,
    /// What others must approve before the service does it.
    approvals: Approvals,
    /// What is being asked.
    questions: Questions,
    /// Logs in or renews, while those who have a token go on with it.
    flight: SingleFlight<Arc<Token>>,
    /// Told when there is another token.
    changed: watch::Sender<()>,
    /// By when the task that keeps the token alive has its next step done; `None` when it has none.
    next_step: Mutex<Option<Instant>>,
}

impl Session {
    pub(super) fn new(client: Client, auth: VaultAuth) -> Self {
        Self {
            client,
            lockout: Lockout::new(auth.locks_out()),
            auth,
            token: ArcSwapOption::empty(),
            approvals: Approvals::default(),
            questions: Questions::default(),
            flight: SingleFlight::new(PATIENCE),
            changed: watch::Sender::default(),
            next_step: Mutex::default(),
        }
    }

    pub(super) fn auth(&self) -> &VaultAuth {
        &self.auth
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Tells whether the task that keeps the token alive should have done something by now.
    pub(super) fn is_kept_late(&self) -> bool {
        let next = *self.next_step.lock().unwrap_or_else(PoisonError::into_inner);
        next.is_some_and(|next| Instant::now() > next + FOREIGN_PATIENCE)
    }

    fn set_next_step(&self, next: Option<Instant>) {
        *self.next_step.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// Makes a request, and once more with another token where the service refuses the first. Of one
    /// that others must approve, the result is fetched when it is asked for again. Callers who ask for
    /// the same at once share the response.
    pub(super) async fn ask<T, P: DeserializeOwned>(
        self: &Arc<Self>,
        call: Call<'_>,
        part: impl FnOnce(P) -> Option<T>,
    ) -> Result<T, KmsError> {
        let response = self.questions.share(call, self.response(call)).await?;
        read(&response, call.doing, part)
    }

    async fn response(self: &Arc<Self>, call: Call<'_>) -> Result<Response, KmsError> {
        if let Some(approval) = self.approvals.of(call) {
            return self.fetch(&approval, call).await;
        }
        let mut token = self.current().await?;
        let mut response = self.client.send(call, Some(token.secret())).await?;
        if response.status == StatusCode::FORBIDDEN
            && let Some(other) = self.other(&token).await?
        {
            token = other;
            response = self.client.send(call, Some(token.secret())).await?;
        }
        let held = held(&response, call.doing)?;
        token.prove();
        let Some(wrapped) = held else { return Ok(response) };
        let pending = self.approvals.keep(Approval::new(call, wrapped)).pending();
        tracing::info!(
            approval_id = pending.approval_id(),
            path = call.path,
            "vault asks for the approval of others first"
        );
        Err(pending)
    }

    /// Fetches the result of a request that others may have approved meanwhile.
    async fn fetch(
        self: &Arc<Self>,
        approval: &Arc<Approval>,
        call: Call<'_>,
    ) -> Result<Response, KmsError> {
        let unwrap = Call { path: "/v1/sys/wrapping/unwrap", body: Some(b"{}"), ..call };
        let was_interrupted = approval.ask();
        let mut response = self.client.send(unwrap, Some(approval.token())).await?;
        let mut why = not_had(&response);
        if why == Some(NotHad::WaitingOrLost) {
            // Asking how it stands may fail, and says nothing about the response that has come.
            if !was_interrupted {
                approval.heard();
            }
            why = match self.standing(approval).await? {
                Some(Standing::Waiting) => return Err(approval.waits(false)),
                Some(Standing::Unknown) => Some(NotHad::Lost),
                Some(Standing::Approved) => {
                    // Perhaps only just now.
                    approval.ask();
                    response = self.client.send(unwrap, Some(approval.token())).await?;
                    not_had(&response).map(|_| NotHad::Lost)
                }
                None => why,
            };
        }
        let error = match why {
            Some(NotHad::Waiting) => approval.waits(true),
            Some(NotHad::WaitingOrLost) => approval.waits_or_is_lost(was_interrupted),
            Some(NotHad::Lost) => approval.lost(),
            None => {
                let fetched = held(&response, call.doing);
                // What is under way may still be had.
                if fetched.as_ref().err().is_none_or(|error| !error.kind().is_transient()) {
                    self.approvals.forget(approval);
                }
                return fetched.map(|_| response);
            }
        };
        if error.kind() != SignErrorKind::ApprovalPending {
            self.approvals.forget(approval);
            tracing::warn!(approval_id = error.approval_id(), path = call.path, "{error}");
        }
        Err(error)
    }

    /// Asks how a request stands; `None` where that is not allowed.
    async fn standing(self: &Arc<Self>, approval: &Approval) -> Result<Option<Standing>, KmsError> {
        let token = self.current().await?;
        let body = serde_json::json!({ "accessor": approval.accessor() }).to_string();
        let path = "/v1/sys/control-group/request";
        let call = Call { doing: Doing::Read, path, body: Some(body.as_bytes()) };
        let response = self.client.send(call, Some(token.secret())).await?;
        if is_unknown(&response) {
            return Ok(Some(Standing::Unknown));
        }
        match read(&response, Doing::Read, |part: StandingResponse| part.data?.approved) {
            Ok(true) => Ok(Some(Standing::Approved)),
            Ok(false) => Ok(Some(Standing::Waiting)),
            Err(error) if error.kind().is_transient() => Err(error),
            Err(error) => {
                tracing::debug!(%error, "vault does not tell how a request for approval stands");
                Ok(None)
            }
        }
    }

    async fn current(self: &Arc<Self>) -> Result<Arc<Token>, KmsError> {
        match self.token.load_full() {
            // A token that was given may live longer than was said; the service knows.
            Some(token) if !token.has_ended() || !self.auth.has_others() => Ok(token),
            old => self.replaced(old).await,
        }
    }

    /// Returns another token than one that was refused; `None` when there is no hope of one.
    async fn other(self: &Arc<Self>, refused: &Arc<Token>) -> Result<Option<Arc<Token>>, KmsError> {
        let is_new = !refused.is_proven() && refused.age() < PAUSE;
        if !self.auth.has_others() || (self.auth.logs_in() && is_new && self.is_kept(refused)) {
            return Ok(None);
        }
        let other = self.replaced(Some(Arc::clone(refused))).await?;
        Ok(Some(other).filter(|other| other.secret() != refused.secret()))
    }

    /// Logs in or reads the token anew, unless somebody else has meanwhile. Many callers lead to one
    /// login, and share its failure; none of them ends it by giving up.
    async fn replaced(self: &Arc<Self>, old: Option<Arc<Token>>) -> Result<Arc<Token>, KmsError> {
        let session = Arc::clone(self);
        let replace = || async move {
            match session.token.load_full() {
                Some(kept) if old.is_none_or(|old| !Arc::ptr_eq(&old, &kept)) => Ok(kept),
                _ => session.obtain().await,
            }
        };
        self.flight.join(replace).await
    }

    async fn obtain(&self) -> Result<Arc<Token>, KmsError> {
        login::obtain(&self.client, &self.auth, &self.lockout).await.map(|token| self.keep(token))
    }

    fn keep(&self, token: Token) -> Arc<Token> {
        let token = Arc::new(token);
        self.token.store(Some(Arc::clone(&token)));
        self.set_next_step(token.lease().map(Lease::due));
        self.changed.send_replace(());
        token
    }

    fn is_kept(&self, token: &Arc<Token>) -> bool {
        self.token.load().as_ref().is_some_and(|kept| Arc::ptr_eq(kept, token))
    }

    /// Sees to it that the token lasts, and returns when that is to be done again; `None` when nothing
    /// can be done before there is another token.
    pub(super) async fn keep_alive(self: &Arc<Self>) -> Option<Instant> {
        self.set_next_step(Some(Instant::now() + PATIENCE));
        let next = self.prolonged().await;
        self.set_next_step(next);
        next
    }

    async fn prolonged(self: &Arc<Self>) -> Option<Instant> {
        let token = self.token.load_full()?;
        let lease = *token.lease()?;
        if Instant::now() < lease.due() {
            return Some(lease.due());
        }
        let left = lease.end().saturating_duration_since(Instant::now());
        if left.is_zero() && !self.auth.logs_in() {
            return None;
        }
        let session = Arc::clone(self);
        let prolong = || {
            let token = Arc::clone(&token);
            async move { session.prolong(token, lease).await }
        };
        let error = match self.flight.join(prolong).await {
            // What was under way may have been something else.
            Ok(kept) if !Arc::ptr_eq(&kept, &token) => return kept.lease().map(Lease::due),
            Ok(_) => return Some(Instant::now() + SHORTEST),
            Err(error) => error,
        };
        if token.is_first_warning() {
            tracing::warn!(%error, ?left, "the token of vault ends, and was neither renewed nor replaced");
        } else {
            tracing::debug!(%error, ?left, "the token of vault was neither renewed nor replaced");
        }
        if !self.auth.has_others() && !error.kind().is_transient() {
            return None;
        }
        let wait = if left.is_zero() { LONGEST } else { (left / 3).clamp(SHORTEST, LONGEST) };
        Some(Instant::now() + wait)
    }

    /// Renews the token, or obtains another one where it cannot last longer.
    async fn prolong(&self, token: Arc<Token>, lease: Lease) -> Result<Arc<Token>, KmsError> {
        match self.token.load_full() {
            Some(kept) if !Arc::ptr_eq(&kept, &token) => return Ok(kept),
            _ => {}
        }
        if let Method::Token(given) = &self.auth.method
            && *login::secret(given, "the token").await? != token.secret()
        {
            return self.obtain().await;
        }
        if lease.renewable && !token.has_ended() {
            match login::renew(&self.client, &token).await {
                Ok(Some(longer)) if longer.outlasts(&lease) => {
                    tracing::debug!(lease = ?longer, "the token of vault was renewed");
                    return Ok(self.keep(token.renewed(longer)));
                }
                Ok(_) => tracing::debug!("the token of vault is as old as it may become"),
                Err(error) if error.kind().is_transient() => return Err(error),
                Err(error) => tracing::debug!(%error, "the token of vault was not renewed"),
            }
        }
        if self.auth.logs_in() {
            return self.obtain().await;
        }
        // Whoever gave it may renew it, too.
        let found = login::look_up(&self.client, token.secret().to_owned().into()).await?;
        if let Some(longer) = found.lease().filter(|longer| longer.outlasts(&lease)) {
            tracing::debug!(lease = ?longer, "the token of vault was renewed by somebody else");
            return Ok(self.keep(token.renewed(*longer)));
        }
        Err(KmsError::setting(
            "the token cannot be renewed",
            "give one that can be, keep a new one in its file, or log in with an AppRole",
        ))
    }
}
