//! The client: signs what it sends and verifies what it gets.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderValue;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;
use tracing::field::{Empty, display};
use wxpay_auth::{Clock, Identity, NonceSource, Signer, Verifier};

use crate::answer::Answer;
use crate::base_url::BaseUrl;
use crate::builder::{ClientBuilder, Timeouts};
use crate::connector::Connector;
use crate::delivery::Outcome;
use crate::error::{Call, Error, Limit, TimeoutError};
use crate::pool::Pool;
use crate::progress::Progress;
use crate::request::Request;
use crate::transport::Transport;

/// Calls WeChat Pay `APIv3`: signs each request with `S`, and verifies each answer with `V`.
///
/// Cloning is cheap, and clones share their connections. A call that is dropped, at whatever point,
/// closes the connection it was using and leaves nothing behind; whether WeChat Pay carried it out is
/// then not known to anybody.
///
/// Each call is one attempt: nothing is sent twice.
///
/// # Example
///
/// ```no_run
/// use wxpay_auth::{FileKeySigner, KeyRing, Mchid, PublicKey};
/// use wxpay_transport::Client;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let signer = FileKeySigner::from_pem_file(
///     "apiclient_key.pem",
///     "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB".parse()?,
/// )?;
/// let ring = KeyRing::new();
/// ring.insert_public_key(
///     "PUB_KEY_ID_0000000000000024101100397200000006".parse()?,
///     PublicKey::from_pem_file("pub_key.pem")?,
/// );
/// let client = Client::builder(Mchid::new("1900007291")?, signer, ring)
///     .user_agent("my-shop/1.2")
///     .build()?;
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
pub struct Client<S, V> {
    inner: Arc<Inner<S, V>>,
}

pub(crate) struct Inner<S, V> {
    pub(crate) identity: Identity,
    pub(crate) signer: S,
    pub(crate) verifier: V,
    pub(crate) base_url: BaseUrl,
    pub(crate) host: HeaderValue,
    pub(crate) user_agent: HeaderValue,
    pub(crate) connector: Connector,
    pub(crate) pool: Pool,
    pub(crate) timeouts: Timeouts,
    pub(crate) max_answer_bytes: usize,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) nonces: Arc<dyn NonceSource>,
}

impl<S: Signer, V: Verifier> Client<S, V> {
    /// Begins to set up a client for a merchant (or a brand), which signs with `signer` and verifies
    /// with `verifier`.
    pub fn builder(identity: impl Into<Identity>, signer: S, verifier: V) -> ClientBuilder<S, V> {
        ClientBuilder::new(identity.into(), signer, verifier)
    }

    pub(crate) fn from_inner(inner: Inner<S, V>) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Returns where requests go.
    pub fn base_url(&self) -> &BaseUrl {
        &self.inner.base_url
    }

    /// Returns the signer.
    pub fn signer(&self) -> &S {
        &self.inner.signer
    }

    /// Returns the verifier.
    pub fn verifier(&self) -> &V {
        &self.inner.verifier
    }

    /// Returns how many idle connections are kept at the moment.
    pub fn idle_connections(&self) -> usize {
        self.inner.pool.len()
    }

    /// Runs one call. Retries, and the second domain, have their place here, around the attempt.
    async fn call(&self, call: Call, request: Request) -> Result<Answer, Error> {
        let Timeouts { attempt, call: whole, .. } = self.inner.timeouts;
        let start = Instant::now();
        let (limit, after) =
            if attempt < whole { (Limit::Attempt, attempt) } else { (Limit::Call, whole) };
        let progress = Progress::new(deadline(start, after));
        match timeout_at(progress.deadline(), self.inner.attempt(&call, &request, &progress)).await
        {
            Ok(ended) => ended,
            // The attempt, and its connection with it, has been dropped: nothing more is written.
            Err(_) => Err(Error::Timeout(TimeoutError::new(
                call,
                limit,
                after,
                progress.stage(),
                progress.delivery(),
            ))),
        }
    }
}

/// Adds a duration that may be absurdly long.
pub(crate) fn deadline(start: Instant, after: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
    start.checked_add(after).unwrap_or(start + FAR)
}

#[async_trait]
impl<S: Signer, V: Verifier> Transport for Client<S, V> {
    async fn send(&self, request: Request) -> Result<Answer, Error> {
        let host = self.inner.base_url.authority().to_string();
        let span = tracing::info_span!(
            "wxpay_call",
            operation = request.operation(),
            attempt = 1_u32,
            host,
            status = Empty,
            request_id = Empty,
            delivery = Empty,
            outcome = Empty,
        );
        let call = Call { operation: request.operation_name(), host, replay: request.replay() };
        let result = self.call(call, request).instrument(span.clone()).await;
        let _entered = span.enter();
        report(&span, &result);
        result
    }
}

/// Notes on the span, and in one event, how a call ended.
fn report(span: &tracing::Span, result: &Result<Answer, Error>) {
    let (status, request_id) = match result {
        Ok(answer) => (Some(answer.status()), answer.request_id()),
        Err(error) => (error.status(), error.request_id()),
    };
    if let Some(status) = status {
        span.record("status", status.as_u16());
    }
    if let Some(request_id) = request_id {
        span.record("request_id", request_id);
    }
    match result {
        Ok(answer) => {
            span.record("delivery", "answered");
            tracing::debug!(signed_by = %answer.body().serial(), "answered and verified");
        }
        Err(error) => {
            span.record("delivery", error.delivery().as_str());
            span.record("outcome", display(error.outcome()));
            let hint = error.hint();
            if error.outcome() == Outcome::Unknown {
                tracing::warn!(%error, %hint, "the outcome of the call is unknown");
            } else {
                tracing::info!(%error, %hint, "the call did not succeed");
            }
        }
    }
}

impl<S, V> Clone for Client<S, V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S: fmt::Debug, V: fmt::Debug> fmt::Debug for Client<S, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("identity", &self.inner.identity)
            .field("signer", &self.inner.signer)
            .field("verifier", &self.inner.verifier)
            .field("base_url", &self.inner.base_url)
            .field("connector", &self.inner.connector)
            .field("pool", &self.inner.pool)
            .field("timeouts", &self.inner.timeouts)
            .finish_non_exhaustive()
    }
}
