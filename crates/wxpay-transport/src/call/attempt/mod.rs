//! One attempt: connect and sign, send, read, verify.

pub(crate) mod download;

use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use wxpay_auth::{
    Clock, Identity, NonceSource, SerialNo, SignError, SignErrorKind, Signer, Timestamp, Verified,
    Verifier, VerifyError, WechatpaySerial, authorization, is_signed, request_message,
    verify_response,
};

use crate::call::attempt_plan::{AttemptPlan, Attempts};
use crate::call::clock_after::ClockAfter;
use crate::call::progress::{Progress, SignedBy};
use crate::call::record::AttemptRecord;
use crate::call::sent::Sent;
use crate::call::signature_length::require_length;
use crate::connection::http1::{BodyFailure, Connection};
use crate::connection::reuse::ConnectionReuse;
use crate::connection::spares::Demand;
use crate::domains::domain::Domain;
use crate::error::delivery::Delivery;
use crate::error::{
    ApiError, ApiResponse, CallContext, CallStage, ConnectError, ConnectStage, Error, ErrorBody,
    ExchangeError, ResponseSignature, SigningError, TimeoutError, TimeoutKind, UnverifiedCause,
    UnverifiedError, VerifierError,
};
use crate::message::request::Request;
use crate::message::response::Response;
use crate::message::response_headers::{clock_offset, coding, request_id, retry_after};
use crate::message::secrets::Secrets;
use crate::observe::audit::Audit;
use crate::observe::telemetry::{self, Purpose};
use crate::panics::{Panic, caught, named, named_async, until_panic};

/// A request that is ready to be written.
struct Signed {
    request: http::Request<Full<Bytes>>,
    sent: Sent,
}

/// A response before it is verified.
struct Received {
    status: StatusCode,
    headers: HeaderMap,
    body: Result<Bytes, BodyFailure>,
    /// The connection it came on, if the response was read to its end.
    connection: Option<Connection>,
}

/// Makes attempts: signs with `S`, and verifies with `V`.
pub(crate) struct SignedAttempts<S, V> {
    pub(crate) identity: Identity,
    pub(crate) signer: S,
    pub(crate) verifier: V,
    pub(crate) user_agent: HeaderValue,
    pub(crate) audit: Option<Arc<dyn Audit>>,
    pub(crate) reuse: ConnectionReuse,
    pub(crate) max_response_bytes: usize,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) nonces: Arc<dyn NonceSource>,
}

impl<S: Signer, V: Verifier> Attempts for SignedAttempts<S, V> {
    async fn attempt(
        &self,
        domain: &Domain,
        plan: &AttemptPlan,
        request: &Request,
    ) -> Result<Result<Response, Error>, Panic> {
        let AttemptPlan { call, fresh, .. } = plan;
        let progress = Progress::new(plan.end);
        // Declared before the attempt, so dropped after it: when the call is dropped, the connection is
        // closed before the record is written.
        let record =
            AttemptRecord::begin(&self.identity, self.audit.as_deref(), call, request, &progress);
        let attempt = Box::pin(self.go(domain, call, request, &progress, *fresh));
        let ended = in_time(plan, &progress, attempt).await?;
        record.end(&ended);
        Ok(ended)
    }
}

/// Runs an attempt until its end. One that is given up is dropped at once.
async fn in_time<T, F: Future<Output = Result<T, Error>>>(
    plan: &AttemptPlan,
    progress: &Progress,
    mut attempt: Pin<Box<F>>,
) -> Result<Result<T, Error>, Panic> {
    let AttemptPlan { call, end, limit, after, .. } = plan;
    let ended = timeout_at(*end, until_panic(attempt.as_mut())).await;
    // Closes its connection, unless that was returned: nothing more is written. Also drops the future of a hook of the
    // application, which may panic.
    let _ = caught("Signer or Verifier", || drop(attempt));
    match ended {
        Ok(Ok(ended)) => Ok(ended),
        Ok(Err(panic)) => panicked(panic, call, progress),
        Err(_) => {
            let (stage, delivery) = (progress.stage(), progress.delivery());
            let error = TimeoutError::new(call.clone(), *limit, *after, stage, delivery);
            Ok(Err(Error::Timeout(error.while_connecting(progress.is_connecting()))))
        }
    }
}

impl<S: Clone, V> SignedAttempts<S, V> {
    /// Copies all settings but the verifier.
    pub(crate) fn with_verifier<W>(&self, verifier: W) -> SignedAttempts<S, W> {
        SignedAttempts {
            identity: self.identity.clone(),
            signer: self.signer.clone(),
            verifier,
            user_agent: self.user_agent.clone(),
            audit: self.audit.clone(),
            reuse: self.reuse,
            max_response_bytes: self.max_response_bytes,
            clock: Arc::clone(&self.clock),
            nonces: Arc::clone(&self.nonces),
        }
    }
}

/// Ends an attempt in which application code panicked: with the panic if nothing was sent. If the request may
/// have been carried out, the caller must get an error that says so.
fn panicked<T>(
    panic: Panic,
    call: &CallContext,
    progress: &Progress,
) -> Result<Result<T, Error>, Panic> {
    match progress.delivery() {
        Delivery::NotSent => Err(panic),
        delivery @ (Delivery::Answered | Delivery::Unknown) => {
            panic.tell();
            Ok(Err(Error::Exchange(ExchangeError::panicked(call.clone(), delivery))))
        }
    }
}

impl<S: Signer, V: Verifier> SignedAttempts<S, V> {
    async fn go(
        &self,
        domain: &Domain,
        call: &CallContext,
        request: &Request,
        progress: &Progress,
        fresh: bool,
    ) -> Result<Response, Error> {
        let now = self.require_keys(call, request)?;
        let may_be_kept = self.reuse.allows(request);
        let mut demand = (fresh || !may_be_kept).then(|| domain.spares.demand(call.attempt == 1));
        let prepared = self.prepare(domain, call, request, progress, demand.as_mut());
        let (connection, mut signed) = prepared.await?;
        self.require_keys_still(call, request, &mut signed, progress, now)?;
        if Instant::now() >= progress.deadline() {
            // The signature came too late, or the verifier took long. Send nothing; the timeout ends the attempt.
            drop(connection);
            return std::future::pending().await;
        }
        let was_kept = connection.is_reused();
        let mut received = self.exchange(call, connection, signed.request, progress).await?;
        progress.enter(CallStage::Verifying);
        let connection = received.connection.take();
        let clock = ClockAfter { clock: &*self.clock, signed: progress.signed_by() };
        let ended = if received.status.is_success() {
            self.verify(call, request, received, &signed.sent, &clock, was_kept).await
        } else {
            Err(self.refusal(call, request, received, &signed.sent, &clock, was_kept).await)
        };
        // The result of the attempt is already known. Inspecting the connection runs TLS code, which may be the
        // application's and may panic.
        let _ = caught("rustls", || {
            let used = match connection {
                Some(connection) if is_orderly(&ended) => domain.keep(connection, may_be_kept),
                connection => connection,
            };
            if let Some(demand) = &demand {
                demand.open_ahead(used);
            }
        });
        ended
    }

    /// Checks the keys before anything else, so that a request that cannot be sent costs no connection and no
    /// signature. Returns the time of the check.
    fn require_keys(&self, call: &CallContext, request: &Request) -> Result<Timestamp, Error> {
        let now = named("Clock", || self.clock.now());
        self.require_verifier(call, now)?;
        if let Some(serial_no) = named("Signer", || self.signer.next_serial_no()) {
            self.require_serial(call, request, &serial_no, now)?;
        }
        Ok(now)
    }

    /// Checks the keys once more, and asks for one in the request: signing and connecting took time, in which the keys
    /// of the signer or the verifier may have been exchanged, or have expired.
    fn require_keys_still(
        &self,
        call: &CallContext,
        request: &Request,
        signed: &mut Signed,
        progress: &Progress,
        before: Timestamp,
    ) -> Result<(), Error> {
        let now = progress.signed_by().map_or(before, SignedBy::now);
        self.require_verifier(call, now)?;
        let serial_no = signed.sent.signature.serial_no();
        let asked_for = self.require_serial(call, request, serial_no, now)?;
        request_key(&mut signed.request, asked_for.as_ref());
        Ok(())
    }

    /// Requires that the response can be verified; otherwise its result could not be trusted.
    fn require_verifier(&self, call: &CallContext, now: Timestamp) -> Result<(), Error> {
        let not_ready = |missing| Error::Verifier(VerifierError::not_ready(call.clone(), missing));
        named("Verifier", || self.verifier.readiness(now)).map_err(not_ready)
    }

    /// Requires that the serial belongs to a certificate, and that neither the request nor the verifier asks for
    /// responses signed with that certificate. Returns the serial that is asked for: the one of the request, or that
    /// which the verifier prefers.
    fn require_serial(
        &self,
        call: &CallContext,
        request: &Request,
        serial_no: &SerialNo,
        now: Timestamp,
    ) -> Result<Option<WechatpaySerial>, Error> {
        if serial_no.is_uncertified() {
            let what = "the key of the signer has no merchant certificate yet: request one \
                        (CertificateRequest), and give the signer its serial";
            let error = SignError::new(SignErrorKind::Configuration, what);
            return Err(Error::Signing(SigningError::signer(call.clone(), error)));
        }
        if let Some(serial) = request.wechatpay_serial() {
            return if *serial == serial_no.clone().into() {
                let error = VerifierError::fields_for_own_serial(call.clone(), serial_no.clone());
                Err(Error::Verifier(error))
            } else {
                Ok(Some(serial.clone()))
            };
        }
        let preferred = named("Verifier", || self.verifier.preferred_serial(now));
        if preferred.as_ref() == Some(&serial_no.clone().into()) {
            return Err(Error::Verifier(VerifierError::own_serial(
                call.clone(),
                serial_no.clone(),
            )));
        }
        Ok(preferred)
    }

    /// Signs, and picks a connection to send on: a kept one, or an unused one if the call needs it.
    ///
    /// A kept connection is taken after signing, so that it does not age meanwhile. If no spare connection
    /// is ready, one is opened while the signer works.
    async fn prepare(
        &self,
        domain: &Domain,
        call: &CallContext,
        request: &Request,
        progress: &Progress,
        demand: Option<&mut Demand<'_>>,
    ) -> Result<(Connection, Signed), Error> {
        let one_waits = match &demand {
            Some(demand) => demand.has_spare(),
            None => domain.kept.len_here() > 0,
        };
        if !one_waits {
            return tokio::try_join!(
                biased;
                self.open(domain, call, progress),
                self.sign(domain, call, request, progress),
            );
        }
        let signed = self.sign(domain, call, request, progress).await?;
        let waiting = match demand {
            Some(demand) => demand.take_spare(),
            None => domain.kept.take(),
        };
        let connection = match waiting {
            Some(connection) => connection,
            None => self.open(domain, call, progress).await?,
        };
        Ok((connection, signed))
    }

    async fn open(
        &self,
        domain: &Domain,
        call: &CallContext,
        progress: &Progress,
    ) -> Result<Connection, Error> {
        progress.connecting(true);
        // The connector enforces the connect timeout itself, and knows what it tried. Boxed, so that a call
        // that finds a connection does not carry the size of this future.
        let stream = Box::pin(domain.connector.connect()).await.map_err(|failure| {
            domain.spares.connected(false);
            if !failure.is_timeout {
                return Error::Connect(ConnectError::of(call.clone(), failure));
            }
            let (limit, after) = (TimeoutKind::Connect, domain.connector.time());
            let (stage, delivery) = (CallStage::Preparing, Delivery::NotSent);
            let error = TimeoutError::new(call.clone(), limit, after, stage, delivery);
            Error::Timeout(error.while_connecting(true).with_source(failure.source))
        })?;
        progress.connecting(false);
        domain.spares.connected(true);
        telemetry::connected(&domain.name, stream.handshake(), Purpose::Call);
        let failed = |e| ConnectError::new(call.clone(), ConnectStage::Http, Box::new(e));
        Connection::open(stream).await.map_err(|e| Error::Connect(failed(e)))
    }

    async fn sign(
        &self,
        domain: &Domain,
        call: &CallContext,
        request: &Request,
        progress: &Progress,
    ) -> Result<Signed, Error> {
        let failed = |error| Error::Signing(SigningError::signer(call.clone(), error));
        let target = request.target().to_path_and_query()?;
        let nonce = named("NonceSource", || self.nonces.nonce())
            .map_err(|e| Error::Signing(SigningError::nonce(call.clone(), e)))?;
        let (timestamp, begin) = (named("Clock", || self.clock.now()), Instant::now());
        let message = request_message(
            request.method().as_str(),
            target.as_str(),
            timestamp,
            nonce.as_str(),
            request.signed_body(),
        );
        let left = progress.deadline().saturating_duration_since(begin);
        let signature = named_async("Signer", self.signer.sign_within(&message, left));
        let signature = signature.await.map_err(failed)?;
        telemetry::signed(call, begin.elapsed());
        let algorithm = named("Signer", || self.signer.algorithm());
        require_length(algorithm, &signature).map_err(failed)?;
        let authorization = authorization(&self.identity, algorithm, &nonce, timestamp, &signature)
            .map_err(|e| failed(SignError::new(SignErrorKind::Unsupported, e.to_string())))?;
        let mut authorization = HeaderValue::try_from(authorization)
            .map_err(|_| failed(SignError::new(SignErrorKind::Other, "no header value")))?;
        authorization.set_sensitive(true);
        progress.signed(signature.serial_no().clone(), timestamp, begin);

        let mut sent = http::Request::new(Full::new(request.body().clone()));
        *sent.method_mut() = request.method().clone();
        *sent.uri_mut() = Uri::from(target);
        *sent.headers_mut() = self.headers(domain, request);
        sent.headers_mut().insert(header::AUTHORIZATION, authorization);
        let sent_with = Sent { message, nonce, timestamp, algorithm, signature };
        Ok(Signed { request: sent, sent: sent_with })
    }

    fn headers(&self, domain: &Domain, request: &Request) -> HeaderMap {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        let mut headers = HeaderMap::with_capacity(8 + request.headers().len());
        headers.extend(request.headers().iter().map(|(n, v)| (n.clone(), v.clone())));
        headers.insert(header::HOST, domain.host.clone());
        headers.insert(header::ACCEPT, JSON);
        headers.insert(header::CONTENT_TYPE, request.content_type());
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        // Hyper omits it for an empty body, and servers in front of WeChat Pay respond with 411 then.
        if request.body().is_empty() && request.method() != Method::GET {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        headers
    }

    async fn exchange(
        &self,
        call: &CallContext,
        connection: Connection,
        request: http::Request<Full<Bytes>>,
        progress: &Progress,
    ) -> Result<Received, Error> {
        let (connection, response) = self.send(call, connection, request, progress).await?;
        Ok(self.receive(connection, response, progress).await)
    }

    /// Sends the request, and waits for the head of its response.
    async fn send(
        &self,
        call: &CallContext,
        mut connection: Connection,
        request: http::Request<Full<Bytes>>,
        progress: &Progress,
    ) -> Result<(Connection, http::Response<Incoming>), Error> {
        progress.begin_sending(connection.traffic());
        match connection.send(request).await {
            Ok(response) => {
                progress.enter(CallStage::Reading);
                Ok((connection, response))
            }
            Err(broken) => {
                // Close first: nothing more can be written afterwards.
                drop(connection);
                let delivery =
                    if broken.untouched { Delivery::NotSent } else { progress.delivery() };
                let error =
                    ExchangeError::of_hyper(call.clone(), delivery, broken.is_stale, broken.source);
                Err(Error::Exchange(error))
            }
        }
    }

    /// Reads the body of a response.
    async fn receive(
        &self,
        mut connection: Connection,
        response: http::Response<Incoming>,
        progress: &Progress,
    ) -> Received {
        let (head, body) = response.into_parts();
        let (status, headers) = (head.status, head.headers);
        let reading = connection.read(body, self.max_response_bytes);
        let body = if status.is_success() {
            reading.await
        } else {
            // Keep the status of a refusal even when time runs out while its body is read.
            timeout_at(progress.deadline(), reading).await.unwrap_or(Err(BodyFailure::Broken))
        };
        let connection = body.is_ok().then_some(connection);
        Received { status, headers, body, connection }
    }

    async fn verify(
        &self,
        call: &CallContext,
        request: &Request,
        received: Received,
        sent: &Sent,
        clock: &ClockAfter<'_>,
        was_kept: bool,
    ) -> Result<Response, Error> {
        let Received { status, headers, body, .. } = received;
        let secrets = || self.secrets(request, sent);
        let request_id = request_id(&headers, &sent.nonce, secrets);
        let wait = retry_after(&headers, clock.now());
        let cause = match body {
            Err(BodyFailure::Broken) => UnverifiedCause::Truncated,
            Err(BodyFailure::TooLarge) => {
                UnverifiedCause::TooLarge { limit: self.max_response_bytes }
            }
            Ok(body) => match self.verified(clock, &headers, body).await {
                // Accepted but not finished, so it may have no content to recognise it by: trust it only if no
                // other response can have come on this connection.
                Ok(verified)
                    if (was_kept || status != StatusCode::ACCEPTED)
                        && !named("recognised_by", || {
                            request.is_recognised_by(verified.body())
                        }) =>
                {
                    UnverifiedCause::Foreign
                }
                Ok(verified) => {
                    let response = Response::new(status, request_id, call.host.clone(), verified);
                    return Ok(response.with_retry_after(wait));
                }
                Err(error) => {
                    let coding = coding(&headers, secrets);
                    UnverifiedCause::of_signature(secrets().cut_out_of(error), coding)
                }
            },
        };
        let clock_offset = clock_offset(&headers, clock.now());
        let error = UnverifiedError::new(call.clone(), status, request_id, clock_offset, cause);
        Err(Error::Unverified(error))
    }

    async fn verified<B: AsRef<[u8]>>(
        &self,
        clock: &ClockAfter<'_>,
        headers: &HeaderMap,
        body: B,
    ) -> Result<Verified<B>, VerifyError> {
        let mut verified = pin!(verify_response(&self.verifier, clock, headers, body));
        named_async("Verifier", verified.as_mut()).await
    }

    async fn refusal(
        &self,
        call: &CallContext,
        request: &Request,
        received: Received,
        sent: &Sent,
        clock: &ClockAfter<'_>,
        was_kept: bool,
    ) -> Error {
        let Received { status, headers, body, .. } = received;
        let secrets = self.secrets(request, sent);
        let signature = match &body {
            _ if !is_signed(&headers) => ResponseSignature::Missing,
            Err(_) => ResponseSignature::Unchecked,
            Ok(body) => match self.verified(clock, &headers, body).await {
                Ok(verified) => ResponseSignature::Verified(verified.serial().clone()),
                Err(error) => ResponseSignature::Refused(secrets.cut_out_of(error)),
            },
        };
        let request_id = request_id(&headers, &sent.nonce, || self.secrets(request, sent));
        let body = body.map_err(|failure| match failure {
            BodyFailure::TooLarge => ErrorBody::TooLarge,
            BodyFailure::Broken => ErrorBody::Truncated,
        });
        let now = clock.now();
        let read = ApiResponse::read(status, request_id, &headers, body, signature, now);
        let response = ApiResponse { was_kept, ..read };
        Error::Api(ApiError::new(call.clone(), response, &sent.message, &secrets))
    }

    /// Collects what a response may repeat and no error may show.
    fn secrets(&self, request: &Request, sent: &Sent) -> Secrets {
        sent.secrets(&self.identity, request)
    }
}

/// Asks WeChat Pay to sign its response with this key. The header is not part of what is signed.
fn request_key(request: &mut http::Request<Full<Bytes>>, serial: Option<&WechatpaySerial>) {
    const WECHATPAY_SERIAL: HeaderName = HeaderName::from_static("wechatpay-serial");
    if let Some(serial) = serial.and_then(|s| HeaderValue::from_str(s.as_str()).ok()) {
        request.headers_mut().insert(WECHATPAY_SERIAL, serial);
    }
}

/// Returns whether the connection can be kept after this response: a verified one, or an orderly refusal.
fn is_orderly(ended: &Result<Response, Error>) -> bool {
    match ended {
        Ok(_) => true,
        Err(Error::Api(error)) => error.is_refusal(),
        Err(_) => false,
    }
}

#[cfg(test)]
mod on_the_wire;
