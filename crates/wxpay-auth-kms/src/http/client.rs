//! The HTTP client of the back ends.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::AsHeaderName;
use http::response::Parts;
use http::uri::Authority;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::AlertDescription;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wxpay_auth_core::internal::SentTexts;
use wxpay_auth_core::{Clock, SignErrorKind, SystemClock, foreign_text};
use zeroize::Zeroizing;

use crate::error::KmsError;
use crate::http::retry_after::retry_after;
pub(crate) use crate::http::status::kind_of_status;
use crate::http::status::{FOREIGN_HINT, kind_of_foreign};
use crate::http::tls::KmsTls;
use crate::runtimes::PerRuntime;

/// No response of a key service comes near this size.
const MAX_BODY: usize = 1 << 20;
/// Time limit for a TCP connection: shorter than the time limit of a call, so that the error can
/// name the cause, and long enough for a lost packet, which is retransmitted after a second.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Sends requests to one service. It keeps connections open and follows no redirects.
///
/// A request on an open connection that the service closes before reading it is sent again on
/// another one. A connection is used only on the runtime that opened it, which drives it: on
/// another runtime, requests would hang while that one sleeps.
#[derive(Clone)]
pub(crate) struct Http {
    service: &'static str,
    connector: HttpsConnector<HttpConnector>,
    clients: Arc<PerRuntime<Pooled>>,
}

/// The connection pool of one runtime.
type Pooled = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

impl Http {
    /// Creates a client for a service, with the name of the service for errors.
    pub(crate) fn new(service: &'static str, tls: &KmsTls) -> Result<Self, KmsError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.config()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        // After this time without use, no connections are left.
        let clients = Arc::new(PerRuntime::new(IDLE_TIMEOUT * 2));
        Ok(Self { service, connector, clients })
    }

    fn client(&self) -> Pooled {
        self.clients.here(|| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_TIMEOUT)
                .build(self.connector.clone())
        })
    }

    /// Sends a request and reads its response, whatever its status.
    pub(crate) async fn send(&self, request: Request<Vec<u8>>) -> Result<Response, KmsError> {
        let sent = sensitive(request.headers());
        // It may contain a secret.
        let request = request.map(|body| Full::new(Bytes::from_owner(Zeroizing::new(body))));
        let host = request.uri().authority().cloned();
        let response = self.client().request(request).await;
        let response = response.map_err(|e| self.not_answered(host.as_ref(), e))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|e| {
            let message = format!("the response of {} broke off, or is too long", self.service);
            KmsError::new(SignErrorKind::Unavailable, message).with_source(e)
        })?;
        let body = body.to_bytes();
        let Parts { status, headers, .. } = head;
        let (service, is_clean) = (self.service, OnceLock::new());
        Ok(Response { service, status, headers, body, sent, is_clean })
    }

    fn not_answered(
        &self,
        host: Option<&Authority>,
        error: hyper_util::client::legacy::Error,
    ) -> KmsError {
        let service = self.service;
        let tls = chain(&error).into_iter().find_map(tls_error);
        if let Some(rustls::Error::InvalidCertificate(problem)) = tls {
            let message = format!("the TLS certificate of {service} is not accepted: {problem}");
            return KmsError::new(SignErrorKind::Configuration, message)
                .with_hint("check the host name of the endpoint, and the CA that is trusted")
                .with_source(error);
        }
        if let Some(rustls::Error::AlertReceived(alert)) = tls
            && is_refusal(*alert)
        {
            let message = format!("{service} ended the TLS handshake");
            return KmsError::new(SignErrorKind::Configuration, message)
                .with_hint("if the service requires a client certificate, give the right one")
                .with_source(error);
        }
        let message = if error.is_connect() {
            let host = host.map_or("", Authority::as_str);
            format!("{service} cannot be reached at {host}")
        } else {
            format!("the connection to {service} broke")
        };
        KmsError::new(SignErrorKind::Unavailable, message).with_source(error)
    }
}

/// Collects the tokens and signatures of a request.
fn sensitive(headers: &HeaderMap) -> Vec<Zeroizing<String>> {
    let sensitive = headers.values().filter(|value| value.is_sensitive());
    sensitive.filter_map(|value| Some(Zeroizing::new(value.to_str().ok()?.to_owned()))).collect()
}

/// Returns whether an alert means that the service refuses this client. Other alerts may come from
/// any failure at the other end.
fn is_refusal(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::HandshakeFailure
            | A::NoCertificate
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::ProtocolVersion
            | A::InsufficientSecurity
            | A::UnrecognisedName
            | A::CertificateRequired
            | A::NoApplicationProtocol
    )
}

/// Returns an error and all its sources.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    let (mut chain, mut next) = (Vec::new(), Some(error));
    while let Some(error) = next {
        chain.push(error);
        // `io::Error::source` skips the wrapped error and returns its source.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = wrapped.map_or_else(|| error.source(), |e| Some(e));
    }
    chain
}

fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref()
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("service", &self.service).finish_non_exhaustive()
    }
}

/// A response of a service.
///
/// Secrets that were sent are redacted in its texts and its JSON before they are used.
pub(crate) struct Response {
    service: &'static str,
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    pub(crate) body: Bytes,
    sent: Vec<Zeroizing<String>>,
    /// Whether nothing that was sent is in the body; it is read several times.
    is_clean: OnceLock<bool>,
}

/// Longer than any header worth showing.
const MAX_HEADER: usize = 100;

impl Response {
    #[cfg(all(test, feature = "_access-key"))]
    #[allow(clippy::unwrap_used, reason = "a test's own status")]
    pub(crate) fn of(service: &'static str, status: u16, body: &str) -> Self {
        let status = StatusCode::from_u16(status).unwrap();
        let (headers, body) = (HeaderMap::new(), body.to_owned().into());
        Self { service, status, headers, body, sent: Vec::new(), is_clean: OnceLock::new() }
    }

    #[cfg(any(all(test, feature = "vault"), fuzzing))]
    pub(crate) fn new(
        service: &'static str,
        status: StatusCode,
        headers: HeaderMap,
        body: impl AsRef<[u8]>,
    ) -> Self {
        let body = Bytes::copy_from_slice(body.as_ref());
        Self { service, status, headers, body, sent: Vec::new(), is_clean: OnceLock::new() }
    }

    /// Adds a secret that was sent outside the headers.
    #[cfg(feature = "vault")]
    pub(crate) fn after_sending(mut self, secret: &str) -> Self {
        self.sent.push(Zeroizing::new(secret.to_owned()));
        self.is_clean = OnceLock::new();
        self
    }

    fn sent(&self) -> Vec<&str> {
        self.sent.iter().map(|secret| secret.as_str()).collect()
    }

    /// Returns a header, redacted and shortened for display.
    pub(crate) fn header(&self, name: impl AsHeaderName) -> Option<String> {
        let value = self.headers.get(name)?.to_str().ok()?;
        Some(foreign_text(value, MAX_HEADER, &self.sent()))
    }

    /// Parses the body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, KmsError> {
        self.parsed().ok_or_else(|| self.not_understood())
    }

    /// The error of serde may quote the body, which may contain a secret, so it is dropped.
    fn parsed<T: DeserializeOwned>(&self) -> Option<T> {
        let body = str::from_utf8(&self.body).ok()?;
        let sent = SentTexts::new(self.sent());
        if *self.is_clean.get_or_init(|| matches!(sent.without(body), Cow::Borrowed(_))) {
            return serde_json::from_str(body).ok();
        }
        let mut value = serde_json::from_str(body).ok()?;
        cut_out(&mut value, &sent);
        serde_json::from_value(value).ok()
    }

    /// Returns the error for a response that does not come from the service, by its status.
    pub(crate) fn not_understood(&self) -> KmsError {
        let content_type = self.header(header::CONTENT_TYPE);
        let message = format!(
            "{} answered {} with {}, which is not a response of the service",
            self.service,
            self.status.as_u16(),
            content_type.as_deref().unwrap_or("no content type"),
        );
        let kind = kind_of_foreign(self.status);
        self.waiting(KmsError::new(kind, message)).with_hint(FOREIGN_HINT)
    }

    /// Adds the wait of `Retry-After` to an error.
    pub(crate) fn waiting(&self, error: KmsError) -> KmsError {
        let value = self.headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok());
        match value.and_then(|value| retry_after(value, SystemClock.now())) {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        }
    }
}

/// Redacts the sent secrets in every text.
fn cut_out(value: &mut Value, sent: &SentTexts) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(left) = sent.without(text) {
                *text = left;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| cut_out(item, sent)),
        Value::Object(members) => {
            members.iter_mut().for_each(|(_, member)| cut_out(member, sent));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;
    use crate::request_limits::Limits;

    /// Paused time advances only when all tasks are idle: timeouts expire in order.
    #[tokio::test(start_paused = true)]
    async fn a_host_that_cannot_be_reached_is_told_from_one_that_does_not_answer() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        // Nobody accepts: once the backlog is full, further connections get no response.
        let patience = Duration::from_millis(300);
        let connect = || TcpStream::connect_timeout(&address, patience).ok();
        let queued: Vec<_> = std::iter::from_fn(connect).take(100).collect();
        assert!(queued.len() < 100);

        let http = Http::new("vault", &KmsTls::new()).unwrap();
        let request = Request::get(format!("http://{address}/")).body(Vec::new()).unwrap();
        let call = tokio::time::timeout(Limits::default().attempt_timeout, http.send(request));
        let Err(error) = call.await.unwrap() else { panic!("a response") };
        assert_eq!(error.kind(), SignErrorKind::Unavailable);
        assert_eq!(error.to_string(), format!("vault cannot be reached at {address}"));
    }

    #[test]
    fn alerts_are_refusals_or_faults() {
        use AlertDescription as A;
        for refusal in [A::CertificateRequired, A::UnknownCA, A::HandshakeFailure, A::AccessDenied]
        {
            assert!(is_refusal(refusal), "{refusal:?}");
        }
        for fault in [A::InternalError, A::CloseNotify, A::UserCanceled, A::DecodeError] {
            assert!(!is_refusal(fault), "{fault:?}");
        }
    }
}
