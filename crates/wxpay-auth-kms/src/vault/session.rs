//! Requests with a token, and the approvals that they wait for.

use std::sync::Arc;

use http::StatusCode;
use serde::de::DeserializeOwned;
use wxpay_auth_core::SignErrorKind;
use wxpay_auth_core::internal::log;

use super::approval::{Approval, Approvals, Standing, StandingResponse};
use super::auth::VaultAuth;
use super::client::{Call, Client, held, read};
use super::login::Login;
use super::refusal::{Doing, NotHad, is_unknown, not_had, refusal};
use super::shared_requests::SharedRequests;
use super::token::Token;
use crate::credentials::cache::{CredentialCache, Kept};
use crate::credentials::request_failure::RequestFailure;
use crate::error::KmsError;
use crate::http::client::Response;

/// Sends requests with a token.
#[derive(Debug)]
pub(super) struct Session {
    client: Arc<Client>,
    tokens: CredentialCache<Login>,
    /// Requests that wait for approval.
    approvals: Approvals,
    /// Requests in flight.
    requests: SharedRequests,
}

impl Session {
    pub(super) fn new(client: Client, auth: VaultAuth) -> Self {
        let client = Arc::new(client);
        Self {
            tokens: CredentialCache::new(Login::new(Arc::clone(&client), auth)),
            client,
            approvals: Approvals::default(),
            requests: SharedRequests::default(),
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn tokens(&self) -> &CredentialCache<Login> {
        &self.tokens
    }

    /// Sends a request, and sends it once more with another token if the service refuses the first.
    /// If the request needs approval, sending it again fetches the result. Concurrent callers of
    /// the same request share the response.
    pub(super) async fn ask<T, P: DeserializeOwned>(
        &self,
        call: Call<'_>,
        part: impl FnOnce(P) -> Option<T>,
    ) -> Result<T, KmsError> {
        let response = self.requests.share(call, self.response(call)).await?;
        read(&response, call.doing, part)
    }

    async fn response(&self, call: Call<'_>) -> Result<Response, KmsError> {
        if let Some(approval) = self.approvals.of(call) {
            return self.fetch(&approval, call).await;
        }
        let request = |token: Arc<Kept<Token>>| async move {
            let response = self.client.send(call, Some(token.secret())).await?;
            if response.status == StatusCode::FORBIDDEN {
                return Err(RequestFailure::Credential(refusal(&response, call.doing)));
            }
            let held = held(&response, call.doing)?;
            Ok((response, held))
        };
        let (response, held) = self.tokens.with(request).await?;
        let Some(wrapped) = held else { return Ok(response) };
        let pending = self.approvals.keep(Approval::new(call, wrapped)).pending();
        log::info!(
            approval_id = pending.approval_id(),
            path = call.path,
            "vault requires an approval of the request"
        );
        Err(pending)
    }

    /// Fetches the result of a request that others may have approved meanwhile.
    async fn fetch(&self, approval: &Arc<Approval>, call: Call<'_>) -> Result<Response, KmsError> {
        let unwrap = Call { path: "/v1/sys/wrapping/unwrap", body: Some(b"{}"), ..call };
        let was_interrupted = approval.ask();
        let mut response = self.client.send(unwrap, Some(approval.token())).await?;
        let mut why = not_had(&response);
        if why == Some(NotHad::WaitingOrLost) {
            // The lookup below may fail, which does not change that this response has arrived.
            if !was_interrupted {
                approval.heard();
            }
            why = match self.standing(approval).await? {
                Some(Standing::Waiting) => return Err(approval.waits(false)),
                Some(Standing::Unknown) => Some(NotHad::Lost),
                Some(Standing::Approved) => {
                    // It may have been approved only just now.
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
                // After a transient failure the result may still be available.
                if fetched.as_ref().err().is_none_or(|error| !error.kind().is_transient()) {
                    self.approvals.forget(approval);
                }
                return fetched.map(|_| response);
            }
        };
        if error.kind() != SignErrorKind::ApprovalPending {
            self.approvals.forget(approval);
            log::warn!(approval_id = error.approval_id(), path = call.path, "{error}");
        }
        Err(error)
    }

    /// Looks up the state of a request; `None` if that is not allowed.
    async fn standing(&self, approval: &Approval) -> Result<Option<Standing>, KmsError> {
        let token = self.tokens.current().await?;
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
                log::debug!(%error, "the state of a request for approval is unknown");
                Ok(None)
            }
        }
    }
}
