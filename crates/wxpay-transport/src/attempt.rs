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
use crate::client::{Inner, deadline};
use crate::connection::{BodyFailure, Connection};
use crate::delivery::Delivery;
use crate::error::{
    AnswerSignature, ApiAnswer, ApiError, Call, ConnectError, ConnectStage, Error, ErrorBody,
    ExchangeError, Limit, SigningError, Stage, TimeoutError, UnverifiedCause, UnverifiedError,
};
use crate::progress::Progress;
use crate::request::Request;

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

impl<S: Signer, V: Verifier> Inner<S, V> {
    pub(crate) async fn attempt(
        &self,
        call: &Call,
        request: &Request,
        progress: &Progress,
    ) -> Result<Answer, Error> {
        let (connection, signed) = self.prepare(call, request).await?;
        let received = self.exchange(call, connection, signed.request, progress).await?;
        progress.enter(Stage::Verifying);
        if received.status.is_success() {
            self.verify(call, received).await
        } else {
            Err(self.refusal(call, received, &signed.message).await)
        }
    }

    /// Signs, and finds a connection to send on.
    ///
    /// An idle connection is taken after signing, so that it has not grown too old meanwhile. Where
    /// there is none, one is opened while the signer works.
    async fn prepare(&self, call: &Call, request: &Request) -> Result<(Connection, Signed), Error> {
        if self.pool.len() > 0 {
            let signed = self.sign(call, request).await?;
            let connection = match self.pool.take() {
                Some(connection) => connection,
                None => self.open(call).await?,
            };
            return Ok((connection, signed));
        }
        tokio::try_join!(biased; self.open(call), self.sign(call, request))
    }

    async fn open(&self, call: &Call) -> Result<Connection, Error> {
        let after = self.timeouts.connect;
        let connecting = timeout_at(deadline(Instant::now(), after), self.connector.connect());
        let failed = |stage, source| Error::Connect(ConnectError::new(call.clone(), stage, source));
        let stream = match connecting.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(failure)) => return Err(failed(failure.stage, failure.source)),
            Err(_) => {
                let (limit, stage) = (Limit::Connect, Stage::Preparing);
                let delivery = Delivery::NotSent;
                let error = TimeoutError::new(call.clone(), limit, after, stage, delivery);
                return Err(Error::Timeout(error));
            }
        };
        Connection::open(stream).await.map_err(|e| failed(ConnectStage::Http, Box::new(e)))
    }

    async fn sign(&self, call: &Call, request: &Request) -> Result<Signed, Error> {
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
        let signature = self.signer.sign(&message).await.map_err(failed)?;
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

        let mut sent = http::Request::new(Full::new(request.body().clone()));
        *sent.method_mut() = request.method().clone();
        *sent.uri_mut() = Uri::from(target);
        *sent.headers_mut() = self.headers(request, timestamp);
        sent.headers_mut().insert(header::AUTHORIZATION, authorization);
        Ok(Signed { request: sent, message })
    }

    fn headers(&self, request: &Request, now: Timestamp) -> HeaderMap {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        const WECHATPAY_SERIAL: HeaderName = HeaderName::from_static("wechatpay-serial");
        let mut headers = HeaderMap::with_capacity(8 + request.headers().len());
        headers.extend(request.headers().iter().map(|(n, v)| (n.clone(), v.clone())));
        headers.insert(header::HOST, self.host.clone());
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
                let error = ExchangeError::new(call.clone(), delivery, broken.source);
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
            self.pool.put(connection);
        }
        Ok(Received { status, headers, body })
    }

    async fn verify(&self, call: &Call, received: Received) -> Result<Answer, Error> {
        let Received { status, headers, body } = received;
        let request_id = request_id(&headers);
        let cause = match body {
            Err(BodyFailure::Broken) => UnverifiedCause::Truncated,
            Err(BodyFailure::TooLarge) => {
                UnverifiedCause::TooLarge { limit: self.max_answer_bytes }
            }
            Ok(body) => match verify_response(&self.verifier, &*self.clock, &headers, body).await {
                Ok(verified) => {
                    return Ok(Answer::new(status, request_id, call.host.clone(), verified));
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
