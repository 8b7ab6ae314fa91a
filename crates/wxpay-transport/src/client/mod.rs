//! The client: signs requests and verifies responses.

mod build;
pub(crate) mod builder;
mod download;
pub(crate) mod settings;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use wxpay_auth::{Identity, Signer, Verifier};

use crate::call::Calls;
use crate::call::attempt::SignedAttempts;
use crate::client::builder::ClientBuilder;
use crate::connection::base_url::BaseUrl;
use crate::domains::domain::Domain;
use crate::domains::router::Domains;
use crate::error::Error;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::observe::audit::AuditOutcome;
use crate::observe::call_span::CallSpan;
use crate::observe::telemetry::CallCount;
use crate::panics::caught;
use crate::transport::Transport;

/// Calls WeChat Pay `APIv3`: signs each request with `S`, and verifies each response with `V`.
///
/// Cloning is cheap, and clones share their connections. Dropping a call, at any point, closes the
/// connection it was using and leaves nothing behind; whether WeChat Pay carried it out is then
/// unknown.
///
/// A call that could not be sent, or may be repeated, is retried: see [`RetryPolicy`](crate::RetryPolicy) and
/// [`Failover`](crate::Failover). A call that must not be repeated ([`Replay::Never`](crate::Replay))
/// is sent again only when nothing of it was sent, or when it was not accepted (429).
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
/// )?;
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
    pub(crate) calls: Calls,
    pub(crate) attempts: SignedAttempts<S, V>,
}

impl<S: Signer, V: Verifier> Client<S, V> {
    /// Returns a builder for a merchant (or a brand), which signs with `signer` and verifies with
    /// `verifier`.
    ///
    /// The verifier need not have a key yet: an application may fill a [`KeyRing`](wxpay_auth::KeyRing)
    /// later. A call made before the verifier is [ready](Verifier::readiness) ends with
    /// [`Error::Verifier`]; nothing is signed or sent.
    pub fn builder(identity: impl Into<Identity>, signer: S, verifier: V) -> ClientBuilder<S, V> {
        ClientBuilder::new(identity.into(), signer, verifier)
    }

    /// Returns a client that verifies with another verifier, and otherwise is as this one. They share connections and
    /// the rate limits, but neither the limit of calls at the same time nor the retry budget: a call of one never waits
    /// for calls of the other.
    ///
    /// That way one client downloads the keys with which the responses to the other one are verified.
    #[must_use]
    pub fn with_verifier<W: Verifier>(&self, verifier: W) -> Client<S, W>
    where
        S: Clone,
    {
        let Inner { calls, attempts } = &*self.inner;
        let (calls, attempts) = (calls.beside(), attempts.with_verifier(verifier));
        Client::from_inner(Inner { calls, attempts })
    }

    pub(crate) fn from_inner(inner: Inner<S, V>) -> Self {
        Self { inner: Arc::new(inner) }
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> &Inner<S, V> {
        &self.inner
    }

    /// Returns where requests go: the main domain.
    pub fn base_url(&self) -> &BaseUrl {
        &self.inner.calls.domains.main.base_url
    }

    /// Returns where requests go when the main domain fails.
    pub fn standby_url(&self) -> Option<&BaseUrl> {
        self.inner.calls.domains.standby.as_ref().map(|standby| &standby.base_url)
    }

    /// Returns the signer.
    pub fn signer(&self) -> &S {
        &self.inner.attempts.signer
    }

    /// Returns the verifier.
    pub fn verifier(&self) -> &V {
        &self.inner.attempts.verifier
    }

    /// Returns the number of connections to both domains that are ready for calls: those kept after a call,
    /// and those opened in advance.
    pub fn idle_connections(&self) -> usize {
        let Domains { main, standby, .. } = &*self.inner.calls.domains;
        main.idle_connections() + standby.as_ref().map_or(0, Domain::idle_connections)
    }
}

#[async_trait]
impl<S: Signer, V: Verifier> Transport for Client<S, V> {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        let span = CallSpan::begin(request.operation());
        let count = CallCount::begin(request.operation_name());
        let Inner { calls, attempts } = &*self.inner;
        let result = {
            let call = calls.run(attempts.identity.value(), &request, &span, attempts);
            let mut call = pin!(Some(call));
            span.around(call.as_mut()).await
        };
        count.end(AuditOutcome::of(&result));
        span.ended(&result);
        // Drops the `recognised_by` check, which is application code and may panic.
        let _ = caught("recognised_by", || drop(request));
        result
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
            .field("identity", &self.inner.attempts.identity)
            .field("signer", &self.inner.attempts.signer)
            .field("verifier", &self.inner.attempts.verifier)
            .field("calls", &self.inner.calls)
            .finish_non_exhaustive()
    }
}
