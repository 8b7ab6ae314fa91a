//! The floor: the lower bound of the cost of a call. Bare hyper, bare signing and verifying, no checks.
//!
//! It omits what an SDK is for: timeouts, a limit on concurrent calls, retries, a breaker, the clock
//! check, the choice among keys, records for logs, and errors that say what became of the money. It keeps
//! what no call can do without: a nonce, a fresh timestamp, the `Authorization`, the verified response,
//! and one connection per caller.

mod bare_vault;
mod connection;
mod keys;
mod token_pool;

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use tokio::sync::Mutex;
use wxpay_auth::{Clock, SystemClock};

use crate::Result;
use crate::settings::Settings;
use crate::signing::Signing;
use connection::{Connection, Connector};
use keys::{BareSigner, BareVerifier};

/// Returns what is signed if nothing is sent. It is different each time, as in production: requests for the same
/// signature at the same time may be one.
pub(crate) fn message(nonces: &AtomicU64) -> String {
    let nonce = nonces.fetch_add(1, Ordering::Relaxed);
    format!(
        "POST\n/v3/marketing/partner/delivery-plan/delivery-plans/12000/terminate\n1722850421\n{nonce:032X}\n\n"
    )
}

/// The bare client, with a connection for each caller.
pub struct Floor {
    connector: Connector,
    /// One per caller; these locks are never contended.
    connections: Vec<Mutex<Option<Connection>>>,
    signer: BareSigner,
    verifier: BareVerifier,
    mchid: String,
    serial_no: String,
    uri: Uri,
    /// All headers but `Authorization`.
    headers: HeaderMap,
    nonces: AtomicU64,
    only_signs: bool,
}

impl Floor {
    /// Reads the keys. Opens no connection yet.
    pub fn new(settings: &Settings, signing: Signing) -> Result<Self> {
        Ok(Self {
            connector: Connector::new(settings)?,
            connections: (0..settings.concurrency.max(1)).map(|_| Mutex::new(None)).collect(),
            signer: BareSigner::new(settings, signing)?,
            verifier: BareVerifier::new(settings, signing)?,
            mchid: settings.mchid.clone(),
            serial_no: settings.serial_no.clone(),
            uri: settings.target.parse()?,
            headers: headers(settings)?,
            nonces: AtomicU64::new(0),
            only_signs: settings.only_signs,
        })
    }

    /// Makes one call, on the connection of this caller.
    pub async fn call(&self, caller: usize) -> Result<()> {
        if self.only_signs {
            return self.signer.sign(message(&self.nonces), caller).await.map(drop);
        }
        let mut own = self.connections[caller].lock().await;
        let mut connection = match own.take() {
            Some(connection) => connection,
            None => self.connector.connect().await?,
        };
        let request = self.request(caller).await?;
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        if head.status != StatusCode::NO_CONTENT {
            return Err(format!("{}: {}", head.status, String::from_utf8_lossy(&body)).into());
        }
        self.verify(&head.headers, &body)?;
        // A failed connection is dropped, and the caller opens another one.
        *own = Some(connection);
        Ok(())
    }

    async fn request(&self, caller: usize) -> Result<Request<Full<Bytes>>> {
        let timestamp = SystemClock.now();
        let nonce = format!("{:032X}", self.nonces.fetch_add(1, Ordering::Relaxed));
        let message = format!("POST\n{}\n{timestamp}\n{nonce}\n\n", self.uri.path());
        let signature = STANDARD.encode(self.signer.sign(message, caller).await?);
        let (mchid, serial_no) = (&self.mchid, &self.serial_no);
        let authorization = format!(
            "WECHATPAY2-SHA256-RSA2048 mchid=\"{mchid}\",nonce_str=\"{nonce}\",\
             timestamp=\"{timestamp}\",serial_no=\"{serial_no}\",signature=\"{signature}\""
        );
        let authorization = HeaderValue::from_maybe_shared(Bytes::from(authorization))?;
        let mut request = Request::new(Full::default());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(AUTHORIZATION, authorization);
        Ok(request)
    }

    fn verify(&self, headers: &HeaderMap, body: &[u8]) -> Result<()> {
        let header = |name: &str| {
            let value = headers.get(name).ok_or_else(|| format!("{name} is missing"))?;
            Ok::<_, crate::Error>(value.to_str()?)
        };
        let mut message = Vec::with_capacity(64 + body.len());
        for part in [header("wechatpay-timestamp")?, header("wechatpay-nonce")?] {
            message.extend_from_slice(part.as_bytes());
            message.push(b'\n');
        }
        message.extend_from_slice(body);
        message.push(b'\n');
        let signature = STANDARD.decode(header("wechatpay-signature")?)?;
        if self.verifier.verifies(&message, &signature) {
            return Ok(());
        }
        Err("the response's signature is wrong".into())
    }
}

fn headers(settings: &Settings) -> Result<HeaderMap> {
    let json = HeaderValue::from_static("application/json");
    let mut headers = HeaderMap::with_capacity(8);
    let host = format!("{}:{}", settings.origin.host, settings.origin.port);
    headers.insert(HOST, host.parse()?);
    headers.insert(ACCEPT, json.clone());
    headers.insert(CONTENT_TYPE, json);
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.insert(USER_AGENT, HeaderValue::from_static("floor"));
    let serial = HeaderName::from_static("wechatpay-serial");
    headers.insert(serial, settings.public_key_id.parse()?);
    Ok(headers)
}
