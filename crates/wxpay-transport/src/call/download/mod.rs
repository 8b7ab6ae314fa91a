//! Downloads: admitted as calls are, and made in one attempt.
//!
//! What was written to the application's writer cannot be taken back, so nothing is tried again here. The domain is
//! the one in the URL.

pub(crate) mod content;
#[cfg(feature = "gzip")]
mod inflater;

use std::pin::pin;

use tokio::io::AsyncWrite;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use wxpay_auth::{Signer, Verifier};

use crate::call::attempt::SignedAttempts;
use crate::call::state::CallState;
use crate::call::{Calls, turned_away};
use crate::deadline::deadline;
use crate::domains::domain::Domain;
use crate::domains::router::Route;
use crate::error::{Error, TimeoutKind};
use crate::message::download::Download;
use crate::message::downloaded::Downloaded;
use crate::message::request::Request;
use crate::observe::call_span::CallSpan;
use crate::panics::until_panic;

impl Calls {
    /// Makes a download from this domain, within its timeout.
    pub(crate) async fn download<S: Signer, V: Verifier, W: AsyncWrite + Unpin>(
        &self,
        attempts: &SignedAttempts<S, V>,
        domain: &Domain,
        request: &Request,
        download: &mut Download,
        span: &CallSpan,
        writer: W,
    ) -> Result<Downloaded, Error> {
        let mut state = CallState {
            request,
            identity: attempts.identity.value(),
            span,
            deadline: deadline(Instant::now(), download.timeout),
            limit: TimeoutKind::Download,
            timeout: download.timeout,
            attempts: 0,
            is_unknown: false,
            is_unconfirmed: false,
            has_moved: false,
        };
        let admitted = until_panic(pin!(self.admitted_once(&state))).await;
        let _permit = match admitted {
            Ok(Ok(permit)) => permit,
            Ok(Err(error)) => return Err(turned_away(request, error)),
            Err(panic) => panic.pass_on(),
        };
        state.attempts = 1;
        span.attempt(state.attempts, &domain.name);
        let (plan, whole) = (self.plan(&state, domain, true), state.deadline);
        let route = Route::ask(domain, request.replay());
        match attempts.download(route, &plan, request, download, writer, whole).await {
            Ok(ended) => ended,
            Err(panic) => panic.pass_on(),
        }
    }

    /// Waits until the attempt may be made.
    async fn admitted_once(&self, state: &CallState<'_>) -> Result<OwnedSemaphorePermit, Error> {
        self.wait_for_rate(state).await?;
        self.wait_for_turn(state).await
    }
}
