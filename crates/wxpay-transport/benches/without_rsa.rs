//! Calls without RSA compared with bare hyper: everything that the library does besides signing and verifying,
//! including how it reads refusals.
//!
//! ```sh
//! cargo bench -p wxpay-transport --bench without_rsa
//! ```
//!
//! Signer and verifier do nothing. Client and server share one thread, so that waking another thread does
//! not hide the rest.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "a benchmark may panic"
)]

#[path = "whole_call/kept.rs"]
mod kept;
#[path = "whole_call/server.rs"]
mod server;

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use criterion::{Criterion, criterion_group, criterion_main};
use http_body_util::{BodyExt, Full};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use wxpay_auth::{
    Algorithm, Clock, Mchid, NotReady, SerialNo, SignError, Signature, SignedMessage, Signer,
    SystemClock, Timestamp, Verifier, VerifyError, WechatpaySerial,
};
use wxpay_transport::{BaseUrl, Client, NoRetry, Request, Target, Transport, async_trait};

use crate::kept::Kept;

const SERIAL_NO: &str = "5F1C72E2A8931B72A2E13AF8DEE92471EB397115";
const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_0000000000000024101100397200000006";
const TARGET: &str = "/v3/marketing/partner/delivery-plan/delivery-plans/12000/terminate";
const REFUSED: &str = r#"{"code":"NO_AUTH","message":"no permission for this plan"}"#;
/// Contains the message that the server built.
const SIGN_ERROR: &str = include_str!("../testdata/sign_error/empty_body_post.json");

#[derive(Debug)]
struct NoRsa {
    serial_no: SerialNo,
    serial: WechatpaySerial,
}

impl NoRsa {
    fn new() -> Self {
        let serial_no = SERIAL_NO.parse().expect("a serial");
        Self { serial_no, serial: PUBLIC_KEY_ID.parse().expect("an id") }
    }
}

#[async_trait]
impl Signer for NoRsa {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Sha256Rsa2048
    }

    async fn sign(&self, _: &[u8]) -> Result<Signature, SignError> {
        Ok(Signature::new(self.serial_no.clone(), vec![0x5a; 256]))
    }
}

#[async_trait]
impl Verifier for NoRsa {
    fn preferred_serial(&self, _: Timestamp) -> Option<WechatpaySerial> {
        Some(self.serial.clone())
    }

    fn readiness(&self, _: Timestamp) -> Result<(), NotReady> {
        Ok(())
    }

    async fn verify(&self, _: SignedMessage<'_>) -> Result<(), VerifyError> {
        Ok(())
    }
}

fn response(status: &str, body: &str) -> String {
    let signature = STANDARD.encode([0x5a; 256]);
    let length =
        if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!(
        "HTTP/1.1 {status}\r\nRequest-ID: 08F5B8C2B506102C18FD-0\r\nKeep-Alive: timeout=8\r\n\
         Content-Type: application/json\r\n{length}\
         Wechatpay-Timestamp: {}\r\nWechatpay-Nonce: 593BEC0C930BF1AFEB40B4A08C8FB242\r\n\
         Wechatpay-Serial: {PUBLIC_KEY_ID}\r\nWechatpay-Signature: {signature}\r\n\r\n{body}",
        SystemClock.now(),
    )
}

/// Starts a server that sends the same response to every request.
async fn start(response: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(server::serve(listener, response));
    address
}

/// A kept hyper connection, and a request as long as a real one.
struct Bare {
    connection: Kept,
    host: String,
    authorization: String,
}

impl Bare {
    async fn connect(address: SocketAddr) -> Self {
        let authorization = format!(
            "WECHATPAY2-SHA256-RSA2048 mchid=\"1900007291\",\
             nonce_str=\"593BEC0C930BF1AFEB40B4A08C8FB242\",timestamp=\"1554208460\",\
             serial_no=\"{SERIAL_NO}\",signature=\"{}\"",
            STANDARD.encode([0x5a; 256])
        );
        Self { connection: Kept::connect(address).await, host: address.to_string(), authorization }
    }

    async fn call(&self) {
        let request = http::Request::post(TARGET)
            .header("host", &self.host)
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .header("content-length", "0")
            .header("user-agent", "bare")
            .header("wechatpay-serial", PUBLIC_KEY_ID)
            .header("authorization", &self.authorization)
            .body(Full::default())
            .expect("a request");
        let response = self.connection.send(request).await;
        response.into_body().collect().await.expect("a body");
    }
}

fn client(address: SocketAddr) -> Client<NoRsa, NoRsa> {
    Client::builder(Mchid::new("1900007291").expect("a number"), NoRsa::new(), NoRsa::new())
        .base_url(BaseUrl::new(format!("http://{address}")).expect("a URL"))
        .retry(NoRetry)
        .build()
        .expect("a client")
}

fn without_rsa(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let target = Target::new(TARGET).expect("a target");
    let mut group = criterion.benchmark_group("a call without RSA");
    for (name, status, body) in [
        ("verified 204", "204 No Content", ""),
        ("refusal, 403", "403 Forbidden", REFUSED),
        ("SIGN_ERROR, 401", "401 Unauthorized", SIGN_ERROR),
    ] {
        let address = runtime.block_on(start(response(status, body)));
        let bare = runtime.block_on(Bare::connect(address));
        let client = client(address);
        group.bench_function(format!("{name}: bare hyper"), |b| {
            b.to_async(&runtime).iter(|| bare.call());
        });
        group.bench_function(format!("{name}: wxpay"), |b| {
            b.to_async(&runtime).iter(|| async {
                let ended = client.send(Request::post("bench", target.clone())).await;
                assert_eq!(ended.is_ok(), body.is_empty());
                ended
            });
        });
    }
}

criterion_group!(benches, without_rsa);
criterion_main!(benches);
