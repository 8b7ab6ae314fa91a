//! A transport for tests: WeChat Pay's side of the download, without HTTP.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use wxpay_auth::{
    ApiV3Key, Certificate, Clock, DateTime, KeyRing, PrivateKey, Signature, Timestamp,
    response_message, verify_response,
};
use wxpay_transport::{
    ApiError, Bytes, CallContext, ConnectError, ConnectStage, Error, Request, Response,
    ResponseSignature, Transport,
};

use crate::certificates::download_verifier::DownloadVerifier;
use crate::certificates::platform_certificates::PlatformCertificates;

pub(super) const KEY: &str = include_str!("../../testdata/keys/wechat_pay_private_key.pem");
pub(super) const CERTIFICATE: &str = include_str!("../../testdata/keys/wechat_pay_certificate.pem");
pub(super) const API_V3_KEY: &str = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb";

/// Within the validity of the certificate.
pub(super) const NOW: u64 = 1_700_000_000;

pub(super) fn certificate() -> Certificate {
    Certificate::from_pem(CERTIFICATE).unwrap()
}

/// A clock that goes with the clock of Tokio.
#[derive(Clone)]
pub(super) struct TestClock {
    begin: Instant,
    at_begin: u64,
}

impl TestClock {
    pub(super) fn at(at_begin: u64) -> Self {
        Self { begin: Instant::now(), at_begin }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_secs(self.at_begin + self.begin.elapsed().as_secs())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    List,
    NoConnection,
    /// A 404 that nobody signed.
    PublicKeyMode,
    /// A 404 signed by a key that is held.
    ConfirmedPublicKeyMode,
    /// A signed 403: the certificates have expired.
    NotEnough,
    Panic,
}

/// What a test does with the downloads.
pub(super) struct Downloads {
    clock: TestClock,
    answer: Mutex<Answer>,
    pub(super) expire_time: Mutex<Option<u64>>,
    pub(super) calls: AtomicUsize,
    pub(super) at_once: AtomicUsize,
    pub(super) most_at_once: AtomicUsize,
    /// A download takes a permit; there are enough unless a test takes them.
    pub(super) gate: Semaphore,
}

impl Downloads {
    pub(super) fn new(clock: TestClock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            answer: Mutex::new(Answer::List),
            expire_time: Mutex::default(),
            calls: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            gate: Semaphore::new(1_000_000),
        })
    }

    pub(super) fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Lets no download end until permits are added.
    pub(super) fn hold(&self) {
        self.gate.forget_permits(usize::MAX);
    }

    fn refusal(&self, call: CallContext, status: u16, signature: ResponseSignature) -> Error {
        let code = if status == 404 { "RESOURCE_NOT_EXISTS" } else { "NOT_ENOUGH" };
        let body = json!({"code": code, "message": "no"}).to_string();
        Error::Api(ApiError::from_response(
            call,
            StatusCode::from_u16(status).unwrap(),
            &HeaderMap::new(),
            Ok(Bytes::from(body)),
            signature,
            b"",
            self.clock.now(),
        ))
    }

    /// Returns a merchant with an empty ring, whose downloads these are.
    pub(super) fn merchant(self: &Arc<Self>) -> PlatformCertificates {
        let clock = self.clock.clone();
        let ring = KeyRing::with_clock(clock.clone());
        let verifier = DownloadVerifier::new(ring, ApiV3Key::new(API_V3_KEY).unwrap());
        let transport = Wire { downloads: Arc::clone(self), verifier: verifier.clone() };
        PlatformCertificates::with_clock(transport, verifier, clock)
    }
}

struct Wire {
    downloads: Arc<Downloads>,
    verifier: DownloadVerifier,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

/// Counts a download as running until it is dropped.
struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        assert_eq!(request.target().as_str(), "/v3/certificates");
        let downloads = &self.downloads;
        downloads.calls.fetch_add(1, Ordering::Relaxed);
        let at_once = downloads.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        let _running = Running(&downloads.at_once);
        downloads.most_at_once.fetch_max(at_once, Ordering::Relaxed);
        downloads.gate.acquire().await.unwrap().forget();
        let answer = *downloads.answer.lock().unwrap();
        let call = CallContext::new(&request, "h");
        match answer {
            Answer::List => self.list().await,
            Answer::NoConnection => {
                Err(Error::Connect(ConnectError::new(call, ConnectStage::Tcp, "no".into())))
            }
            Answer::PublicKeyMode => Err(downloads.refusal(call, 404, ResponseSignature::Missing)),
            Answer::ConfirmedPublicKeyMode => Err(downloads.refusal(call, 404, signed())),
            Answer::NotEnough => Err(downloads.refusal(call, 403, signed())),
            Answer::Panic => panic!("a transport of the application"),
        }
    }
}

fn signed() -> ResponseSignature {
    ResponseSignature::Verified("PUB_KEY_ID_1".parse().unwrap())
}

impl Wire {
    async fn list(&self) -> Result<Response, Error> {
        let now = self.downloads.clock.now();
        let expire_time = self.downloads.expire_time.lock().unwrap().map(|secs| {
            DateTime::from_unix_secs(i64::try_from(secs).unwrap()).unwrap().to_string()
        });
        let serial_no = certificate().serial_no().to_string();
        let body = list(&[entry(CERTIFICATE, &serial_no, expire_time.as_deref())]);
        let message = response_message(&now.to_string(), "nonce", body.as_bytes());
        let bytes = PrivateKey::from_pem(KEY).unwrap().sign(&message).unwrap();
        let signature = Signature::new(certificate().serial_no().clone(), bytes);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("wechatpay-timestamp", now.to_string()),
            ("wechatpay-nonce", "nonce".to_owned()),
            ("wechatpay-serial", certificate().serial_no().to_string()),
            ("wechatpay-signature", signature.to_base64()),
        ] {
            headers.insert(name, HeaderValue::try_from(value).unwrap());
        }
        let verified =
            verify_response(&self.verifier, &self.downloads.clock, &headers, Bytes::from(body));
        Ok(Response::new(StatusCode::OK, None, "h", verified.await.unwrap()))
    }
}

/// Encrypts a certificate as an entry of the list.
pub(super) fn entry(pem: &str, serial_no: &str, expire_time: Option<&str>) -> serde_json::Value {
    let key = ApiV3Key::new(API_V3_KEY).unwrap();
    let sealed = key.seal("61f9c719728a", Some("certificate"), pem.as_bytes()).unwrap();
    json!({
        "serial_no": serial_no,
        "effective_time ": "2022-05-10T10:04:30+08:00",
        "expire_time ": expire_time,
        "encrypt_certificate": {
            "algorithm": sealed.algorithm,
            "nonce": sealed.nonce,
            "associated_data": sealed.associated_data,
            "ciphertext": sealed.ciphertext,
        },
    })
}

pub(super) fn list(entries: &[serde_json::Value]) -> String {
    json!({ "data": entries }).to_string()
}
