//! One attempt: connect and sign, send, read, verify.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::Full;
use tokio::time::{Instant, timeout_at};
use wxpay_auth::{
    SignError, SignErrorKind, Signer, Timestamp, Verifier, authorization, is_signed,
    request_message, verify_response,
};

use crate::answer::Answer;
use crate::answer_headers::{clock_offset, request_id, retry_after};
use crate::attempt_record::AttemptRecord;
use crate::call::{Attempts, Plan};
use crate::client::{Inner, deadline};
use crate::connection::{BodyFailure, Connection};
use crate::delivery::Delivery;
use crate::domain::Domain;
use crate::error::{
    AnswerSignature, ApiAnswer, ApiError, Call, ConnectError, ConnectStage, Error, ErrorBody,
    ExchangeError, Limit, SigningError, Stage, TimeoutError, UnverifiedCause, UnverifiedError,
};
use crate::progress::Progress;
use crate::request::Request;
use crate::telemetry;

/// A request that is ready to be written.
struct Signed {
    request: http::Request<Full<Bytes>>,
    message: Vec<u8>,
}

/// What came back, before anything in it is believed.
struct Received {
    status: StatusCode,
    headers: HeaderMap,
    body: Result<Bytes, BodyFailure>,
}

impl<S: Signer, V: Verifier> Attempts for Inner<S, V> {
    async fn attempt(
        &self,
        domain: &Domain,
        plan: &Plan,
        request: &Request,
    ) -> Result<Answer, Error> {
        let Plan { call, end, limit, after, fresh } = plan;
        let progress = Progress::new(*end);
        // Declared before the attempt, it is dropped after it: when the call is dropped, the connection
        // is closed before the record is written.
        let record = AttemptRecord::begin(self, call, request, &progress);
        let attempt = self.go(domain, call, request, &progress, *fresh);
        let ended = timeout_at(*end, attempt).await.unwrap_or_else(|_| {
            // The attempt, and its connection with it, has been dropped: nothing more is written.
            let (stage, delivery) = (progress.stage(), progress.delivery());
            let error = TimeoutError::new(call.clone(), *limit, *after, stage, delivery);
            Err(Error::Timeout(error.while_connecting(progress.is_connecting())))
        });
        record.end(&ended);
        ended
    }
}

impl<S: Signer, V: Verifier> Inner<S, V> {
    async fn go(
        &self,
        domain: &Domain,
        call: &Call,
        request: &Request,
        progress: &Progress,
        fresh: bool,
    ) -> Result<Answer, Error> {
        let (connection, signed) = self.prepare(domain, call, request, progress, fresh).await?;
        if Instant::now() >= progress.deadline() {
            // The signature came in the last moment. Nothing is sent any more: the time-out ends it.
            drop(connection);
            return std::future::pending().await;
        }
        let received = self.exchange(domain, call, connection, signed.request, progress).await?;
        progress.enter(Stage::Verifying);
        if received.status.is_success() {
            self.verify(call, received).await
        } else {
            Err(self.refusal(call, received, &signed.message).await)
        }
    }

    /// Signs, and finds a connection to send on: an idle one, unless it is to be fresh.
    ///
    /// An idle connection is taken after signing, so that it has not grown too old meanwhile. Where
    /// there is none, one is opened while the signer works.
    async fn prepare(
        &self,
        domain: &Domain,
        call: &Call,
        request: &Request,
        progress: &Progress,
        fresh: bool,
    ) -> Result<(Connection, Signed), Error> {
        if !fresh && domain.pool.len() > 0 {
            let signed = self.sign(domain, call, request, progress).await?;
            let connection = match domain.pool.take() {
                Some(connection) => connection,
                None => self.open(domain, call, progress).await?,
            };
            return Ok((connection, signed));
        }
        tokio::try_join!(
            biased;
            self.open(domain, call, progress),
            self.sign(domain, call, request, progress),
        )
    }

    async fn open(
        &self,
        domain: &Domain,
        call: &Call,
        progress: &Progress,
    ) -> Result<Connection, Error> {
        let after = self.calls.timeouts.connect;
        progress.connecting(true);
        let connecting = timeout_at(deadline(Instant::now(), after), domain.connector.connect());
        let failed = |stage, source| Error::Connect(ConnectError::new(call.clone(), stage, source));
        let stream = match connecting.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(failure)) => return Err(failed(failure.stage, failure.source)),
            Err(_) => {
                let (limit, stage) = (Limit::Connect, Stage::Preparing);
                let delivery = Delivery::NotSent;
                let error = TimeoutError::new(call.clone(), limit, after, stage, delivery)
                    .while_connecting(true);
                return Err(Error::Timeout(error));
            }
        };
        progress.connecting(false);
        Connection::open(stream).await.map_err(|e| failed(ConnectStage::Http, Box::new(e)))
    }

    async fn sign(
        &self,
        domain: &Domain,
        call: &Call,
        request: &Request,
        progress: &Progress,
    ) -> Result<Signed, Error> {
        let failed = |error| Error::Signing(SigningError::signer(call.clone(), error));
        let target = request.target().to_path_and_query()?;
        let nonce = self
            .nonces
            .nonce()
            .map_err(|e| Error::Signing(SigningError::nonce(call.clone(), e)))?;
        let timestamp = self.clock.now();
        let message = request_message(
            request.method().as_str(),
            target.as_str(),
            timestamp,
            nonce.as_str(),
            request.body(),
        );
        let begin = Instant::now();
        let left = progress.deadline().saturating_duration_since(begin);
        let signature = self.signer.sign_within(&message, left).await.map_err(failed)?;
        telemetry::signed(call, begin.elapsed());
        if signature.serial_no().is_uncertified() {
            let what = "the key of the signer has no merchant certificate yet: request one \
                        (CertificateRequest), and give the signer its serial";
            return Err(failed(SignError::new(SignErrorKind::Configuration, what)));
        }
        let algorithm = self.signer.algorithm();
        let authorization = authorization(&self.identity, algorithm, &nonce, timestamp, &signature)
            .map_err(|e| failed(SignError::new(SignErrorKind::Unsupported, e.to_string())))?;
        let mut authorization = HeaderValue::try_from(authorization)
            .map_err(|_| failed(SignError::new(SignErrorKind::Other, "no header value")))?;
        authorization.set_sensitive(true);
        progress.signed(signature.serial_no().clone(), timestamp);

        let mut sent = http::Request::new(Full::new(request.body().clone()));
        *sent.method_mut() = request.method().clone();
        *sent.uri_mut() = Uri::from(target);
        *sent.headers_mut() = self.headers(domain, request, timestamp);
        sent.headers_mut().insert(header::AUTHORIZATION, authorization);
        Ok(Signed { request: sent, message })
    }

    fn headers(&self, domain: &Domain, request: &Request, now: Timestamp) -> HeaderMap {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        const WECHATPAY_SERIAL: HeaderName = HeaderName::from_static("wechatpay-serial");
        let mut headers = HeaderMap::with_capacity(8 + request.headers().len());
        headers.extend(request.headers().iter().map(|(n, v)| (n.clone(), v.clone())));
        headers.insert(header::HOST, domain.host.clone());
        headers.insert(header::ACCEPT, JSON);
        headers.insert(header::CONTENT_TYPE, JSON);
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        let serial = self.verifier.preferred_serial(now);
        if let Some(serial) = serial.and_then(|s| HeaderValue::from_str(s.as_str()).ok()) {
            headers.insert(WECHATPAY_SERIAL, serial);
        }
        // Hyper leaves it out of an empty request, and servers in front answer 411 then.
        if request.body().is_empty() && request.method() != Method::GET {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        headers
    }

    async fn exchange(
        &self,
        domain: &Domain,
        call: &Call,
        mut connection: Connection,
        request: http::Request<Full<Bytes>>,
        progress: &Progress,
    ) -> Result<Received, Error> {
        progress.begin_sending(connection.written());
        let response = match connection.send(request).await {
            Ok(response) => response,
            Err(broken) => {
                // Closed first: afterwards nothing more can be written.
                drop(connection);
                let delivery =
                    if broken.untouched { Delivery::NotSent } else { progress.delivery() };
                let error =
                    ExchangeError::new(call.clone(), delivery, broken.is_stale, broken.source);
                return Err(Error::Exchange(error));
            }
        };
        progress.enter(Stage::Reading);
        let (head, body) = response.into_parts();
        let (status, headers) = (head.status, head.headers);
        let reading = connection.read(body, self.max_answer_bytes);
        let body = if status.is_success() {
            reading.await
        } else {
            // The status of a refusal is worth having, even when time runs out in its body.
            timeout_at(progress.deadline(), reading).await.unwrap_or(Err(BodyFailure::Broken))
        };
        if body.is_ok() {
            domain.pool.put(connection);
        }
        Ok(Received { status, headers, body })
    }

    async fn verify(&self, call: &Call, received: Received) -> Result<Answer, Error> {
        let Received { status, headers, body } = received;
        let request_id = request_id(&headers);
        let wait = retry_after(&headers, self.clock.now());
        let cause = match body {
            Err(BodyFailure::Broken) => UnverifiedCause::Truncated,
            Err(BodyFailure::TooLarge) => {
                UnverifiedCause::TooLarge { limit: self.max_answer_bytes }
            }
            Ok(body) => match verify_response(&self.verifier, &*self.clock, &headers, body).await {
                Ok(verified) => {
                    let answer = Answer::new(status, request_id, call.host.clone(), verified);
                    return Ok(answer.with_retry_after(wait));
                }
                Err(error) => UnverifiedCause::Signature(error),
            },
        };
        let clock_offset = clock_offset(&headers, self.clock.now());
        let error = UnverifiedError::new(call.clone(), status, request_id, clock_offset, cause);
        Err(Error::Unverified(error))
    }

    async fn refusal(&self, call: &Call, received: Received, message: &[u8]) -> Error {
        let Received { status, headers, body } = received;
        let signature = match &body {
            _ if !is_signed(&headers) => AnswerSignature::Missing,
            Err(_) => AnswerSignature::Unchecked,
            Ok(body) => match verify_response(&self.verifier, &*self.clock, &headers, body).await {
                Ok(verified) => AnswerSignature::Verified(verified.serial().clone()),
                Err(error) => AnswerSignature::Refused(error),
            },
        };
        let answer = ApiAnswer {
            status,
            request_id: request_id(&headers),
            retry_after: retry_after(&headers, self.clock.now()),
            clock_offset: clock_offset(&headers, self.clock.now()),
            signature,
            body: body.map_err(|failure| match failure {
                BodyFailure::TooLarge => ErrorBody::TooLarge,
                BodyFailure::Broken => ErrorBody::Truncated,
            }),
        };
        Error::Api(ApiError::new(call.clone(), answer, message))
    }
}
