//! The whole call beside bare hyper with bare RSA: what the library costs on top.
//!
//! ```sh
//! cargo bench -p wxpay-transport --bench whole_call
//! ```
//!
//! Each call signs, sends an empty POST over a kept connection on loopback, and verifies the answer.
//! The *bare* one does nothing else: no checks, no time-outs, no logs. The server is a stub on a thread of
//! its own that sends one answer, signed once, over and over.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "a benchmark may panic"
)]

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use wxpay_auth::{
    Backend, Clock, FileKeySigner, KeyRing, Mchid, PrivateKey, PublicKey, SerialNo, SystemClock,
    response_message,
};
use wxpay_transport::{BaseUrl, Client, Request, Target, Transport};

const MERCHANT_KEY: &str = include_str!("../../wxpay-auth/testdata/keys/merchant_private_key.pem");
const WECHATPAY_KEY: &str =
    include_str!("../../wxpay-auth/testdata/keys/wechat_pay_private_key.pem");
const WECHATPAY_PUBLIC_KEY: &str =
    include_str!("../../wxpay-auth/testdata/keys/wechat_pay_public_key.pem");
const SERIAL_NO: &str = "5F1C72E2A8931B72A2E13AF8DEE92471EB397115";
const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_0000000000000024101100397200000006";
const TARGET: &str = "/v3/marketing/partner/delivery-plan/delivery-plans/12000/terminate";

/// Starts the stub, which lives as long as the process.
fn start_stub() -> SocketAddr {
    let (timestamp, nonce) = (SystemClock.now().to_string(), "593BEC0C930BF1AFEB40B4A08C8FB242");
    let key = PrivateKey::from_pem(WECHATPAY_KEY).expect("a key");
    let signature = key.sign(&response_message(&timestamp, nonce, b"")).expect("a signature");
    let answer = Arc::new(format!(
        "HTTP/1.1 204 No Content\r\nRequest-ID: 08F5B8C2B506102C18FD-0\r\n\
         Keep-Alive: timeout=8\r\nWechatpay-Timestamp: {timestamp}\r\n\
         Wechatpay-Nonce: {nonce}\r\nWechatpay-Serial: {PUBLIC_KEY_ID}\r\n\
         Wechatpay-Signature: {}\r\n\r\n",
        STANDARD.encode(signature)
    ));
    let (address, listening) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            address.send(listener.local_addr().expect("an address")).expect("a receiver");
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                stream.set_nodelay(true).expect("an option");
                tokio::spawn(answer_all(stream, Arc::clone(&answer)));
            }
        });
    });
    listening.recv().expect("an address")
}

/// Answers each request; one is over at its first empty line.
async fn answer_all(mut stream: TcpStream, answer: Arc<String>) {
    let mut request = Vec::with_capacity(4096);
    loop {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) if !request.ends_with(b"\r\n\r\n") => continue,
            Ok(_) => request.clear(),
        }
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// What a call costs at the least.
struct Bare {
    sender: Mutex<SendRequest<Full<Bytes>>>,
    host: String,
    key: PrivateKey,
    public_key: PublicKey,
}

impl Bare {
    async fn connect(address: SocketAddr, backend: Backend) -> Self {
        let tcp = TcpStream::connect(address).await.expect("a connection");
        tcp.set_nodelay(true).expect("an option");
        let (sender, connection) = http1::handshake(TokioIo::new(tcp)).await.expect("http");
        tokio::spawn(connection);
        let public_key = PublicKey::from_pem(WECHATPAY_PUBLIC_KEY).expect("a key");
        Self {
            sender: Mutex::new(sender),
            host: address.to_string(),
            key: PrivateKey::from_pem_with(backend, MERCHANT_KEY).expect("a key"),
            public_key: public_key.with_backend(backend).expect("a key"),
        }
    }

    async fn call(&self) {
        let timestamp = SystemClock.now();
        let nonce = "593BEC0C930BF1AFEB40B4A08C8FB242";
        let message = format!("POST\n{TARGET}\n{timestamp}\n{nonce}\n\n");
        let signature = STANDARD.encode(self.key.sign(message.as_bytes()).expect("a signature"));
        let request = http::Request::post(TARGET)
            .header("host", &self.host)
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .header("content-length", "0")
            .header("user-agent", "bare")
            .header(
                "authorization",
                format!(
                    "WECHATPAY2-SHA256-RSA2048 mchid=\"1900007291\",nonce_str=\"{nonce}\",\
                     timestamp=\"{timestamp}\",serial_no=\"{SERIAL_NO}\",signature=\"{signature}\""
                ),
            )
            .body(Full::default())
            .expect("a request");
        let mut sender = self.sender.lock().await;
        sender.ready().await.expect("a connection");
        let answer = sender.send_request(request).await.expect("an answer");
        let header = |name: &str| answer.headers()[name].to_str().expect("text");
        let (timestamp, nonce) = (header("wechatpay-timestamp"), header("wechatpay-nonce"));
        let signature = STANDARD.decode(header("wechatpay-signature")).expect("base64");
        let message = format!("{timestamp}\n{nonce}\n\n");
        assert!(self.public_key.verifies(message.as_bytes(), &signature));
    }
}

fn sdk(address: SocketAddr, backend: Backend) -> Client<FileKeySigner, KeyRing> {
    let key = PrivateKey::from_pem_with(backend, MERCHANT_KEY).expect("a key");
    let serial_no: SerialNo = SERIAL_NO.parse().expect("a serial");
    let public_key = PublicKey::from_pem(WECHATPAY_PUBLIC_KEY).expect("a key");
    let ring = KeyRing::new();
    ring.insert_public_key(
        PUBLIC_KEY_ID.parse().expect("an id"),
        public_key.with_backend(backend).expect("a key"),
    );
    let mchid = Mchid::new("1900007291").expect("a number");
    Client::builder(mchid, FileKeySigner::new(key, serial_no), ring)
        .base_url(BaseUrl::new(format!("http://{address}")).expect("a URL"))
        .build()
        .expect("a client")
}

fn whole_call(criterion: &mut Criterion) {
    let address = start_stub();
    for backend in [Backend::Ring, Backend::AwsLcRs] {
        let runtime = Runtime::new().expect("a runtime");
        let bare = runtime.block_on(Bare::connect(address, backend));
        let client = sdk(address, backend);
        let target = Target::new(TARGET).expect("a target");

        let mut group = criterion.benchmark_group(format!("whole call, one caller, {backend}"));
        group.bench_function("bare hyper and RSA", |b| b.to_async(&runtime).iter(|| bare.call()));
        group.bench_function("wxpay", |b| {
            b.to_async(&runtime).iter(|| async {
                let answer = client.send(Request::post("bench", target.clone())).await;
                black_box(answer.expect("an answer"));
            });
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = whole_call
}
criterion_main!(benches);
