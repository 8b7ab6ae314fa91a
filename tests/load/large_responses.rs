//! Large responses from a slow server: the memory of a call is bounded.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;
use wxpay_auth::{Clock, KeyRing, PrivateKey, SystemClock, response_message};
use wxpay_testing::WechatPay;
use wxpay_tests::footprint::{peak_resident_bytes, resident_bytes};
use wxpay_tests::own_process;
use wxpay_transport::{BaseUrl, Client, Proxy, Request, Target, Transport};

const CALLERS: usize = 256;
const LIMIT: usize = 1 << 20;
/// What a call takes beside its body: its connection, and buffers of at most 64 KiB.
const BESIDE: usize = 256 << 10;
const ID: &str = "PUB_KEY_ID_0000000000000024101100397200000006";
const KEY: &str =
    include_str!("../../crates/wxpay-auth-core/testdata/keys/wechat_pay_private_key.pem");

/// Responds with one signed body to all, and holds its last byte back.
struct SlowServer {
    head: String,
    body: Vec<u8>,
    /// All have got everything but the last byte.
    held: Barrier,
    last: Semaphore,
}

impl SlowServer {
    fn new(key: &PrivateKey, is_chunked: bool) -> Self {
        let body = vec![b' '; LIMIT];
        let (timestamp, nonce) =
            (SystemClock.now().to_string(), "d824f2e086d3c1df967785d13fcd22ef");
        let signature = key.sign(&response_message(&timestamp, nonce, &body)).unwrap();
        let mut head = format!(
            "HTTP/1.1 200 OK\r\nWechatpay-Timestamp: {timestamp}\r\nWechatpay-Nonce: {nonce}\r\n\
             Wechatpay-Serial: {ID}\r\nWechatpay-Signature: {}\r\n",
            STANDARD.encode(signature)
        );
        let length = if is_chunked {
            format!("Transfer-Encoding: chunked\r\n\r\n{LIMIT:x}\r\n")
        } else {
            format!("Content-Length: {LIMIT}\r\n\r\n")
        };
        head.write_str(&length).unwrap();
        Self { head, body, held: Barrier::new(CALLERS + 1), last: Semaphore::new(0) }
    }

    async fn respond(&self, mut stream: TcpStream, is_chunked: bool) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        stream.write_all(self.head.as_bytes()).await.unwrap();
        let (last, most) = self.body.split_last().unwrap();
        for piece in most.chunks(16 << 10) {
            stream.write_all(piece).await.unwrap();
        }
        self.held.wait().await;
        self.last.acquire().await.unwrap().forget();
        stream.write_all(&[*last]).await.unwrap();
        if is_chunked {
            stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
        }
        // Until the client closes it.
        let _ = stream.read(&mut [0]).await;
    }
}

/// Makes all calls at once. Returns how much memory they take while the last byte is missing, and at most.
async fn memory_of(is_chunked: bool) -> (u64, u64) {
    let wechat_pay = WechatPay::builder().build();
    let key = PrivateKey::from_pem(KEY).unwrap();
    let ring = KeyRing::new();
    ring.insert_public_key(ID.parse().unwrap(), key.public_key().clone()).unwrap();
    let server = Arc::new(SlowServer::new(&key, is_chunked));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::builder(wechat_pay.mchid(), wechat_pay.signer(), ring)
        .base_url(BaseUrl::new(url).unwrap())
        .proxy(Proxy::none())
        .max_concurrent_calls(CALLERS)
        .max_response_bytes(LIMIT)
        .build()
        .unwrap();
    let before = resident_bytes();
    let mut responding = JoinSet::new();
    let mut calls = JoinSet::new();
    for _ in 0..CALLERS {
        let client = client.clone();
        let target = Target::new("/v3/x").unwrap();
        calls.spawn(async move { client.send(Request::get("x", target)).await });
        let (stream, _) = listener.accept().await.unwrap();
        let server = Arc::clone(&server);
        responding.spawn(async move { server.respond(stream, is_chunked).await });
    }
    server.held.wait().await;
    let held = settled().await.saturating_sub(before);
    server.last.add_permits(CALLERS);
    // The bodies are dropped one by one, as an application does.
    while let Some(ended) = calls.join_next().await {
        let body = ended.unwrap().unwrap().into_body();
        assert_eq!(body.body().len(), LIMIT);
    }
    (held, peak_resident_bytes() - before)
}

/// Returns the memory once it no longer changes: what is sent may still be on its way.
async fn settled() -> u64 {
    const READINGS: usize = 20;
    let (mut last, mut same) = (resident_bytes(), 0);
    for _ in 0..2000 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        let now = resident_bytes();
        same = if now.abs_diff(last) <= LIMIT as u64 / 4 { same + 1 } else { 0 };
        last = now;
        if same == READINGS {
            return now;
        }
    }
    panic!("the memory of waiting calls still changes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_large_responses_is_bounded() {
    own_process!(alone);
    let (held, most) = memory_of(false).await;
    // One buffer of the announced length, and while it is verified, the message.
    assert!(held <= (CALLERS * (LIMIT + BESIDE)) as u64, "{} MiB", held >> 20);
    assert!(most <= (CALLERS * (2 * LIMIT + BESIDE)) as u64, "{} MiB", most >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_large_responses_in_chunks_is_bounded() {
    own_process!(alone);
    let (held, most) = memory_of(true).await;
    // A buffer that grows by doubling, and while it does, its predecessor.
    assert!(held <= (CALLERS * (3 * LIMIT + BESIDE)) as u64, "{} MiB", held >> 20);
    assert!(most <= (CALLERS * (3 * LIMIT + BESIDE)) as u64, "{} MiB", most >> 20);
}
