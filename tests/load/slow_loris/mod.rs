//! Endless responses: timeouts and size limits end them, other calls are not affected, and nothing is left
//! behind.

mod front;
mod manner;

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use wxpay_testing::{ServerTls, WireServer};
use wxpay_tests::footprint::Footprint;
use wxpay_tests::{TestClient, builder, own_process};
use wxpay_transport::{
    Delivery, Error, ErrorBody, Outcome, Request, Response, Target, Transport, UnverifiedCause,
};

use self::front::{Front, Which};
use self::manner::Manner;

/// Number of concurrent endless responses.
const MANY: usize = 300;

fn call(name: &str) -> Request {
    let path = format!("/v3/marketing/partner/delivery-plan/delivery-plans/{name}/delivery-plans");
    Request::get("delivery_plans.list", Target::new(path).unwrap())
}

/// Returns what the caller is told: kind, outcome, delivery.
fn told(ended: &Result<Response, Error>) -> (&'static str, Outcome, Delivery) {
    let error = ended.as_ref().expect_err("the response never completes");
    let kind = match error {
        Error::Timeout(_) => "timeout",
        Error::Exchange(_) => "exchange",
        Error::Api(e) if e.body_kind() == ErrorBody::Truncated => "truncated refusal",
        Error::Unverified(e) => match e.cause() {
            UnverifiedCause::TooLarge { .. } => "too large",
            UnverifiedCause::Truncated => "truncated",
            _ => "unverified",
        },
        _ => "other",
    };
    (kind, error.outcome(), error.delivery())
}

fn expected(manner: Manner) -> (&'static str, Outcome, Delivery) {
    match manner {
        Manner::HandshakeByteByByte => ("timeout", Outcome::NotSent, Delivery::NotSent),
        // Whether WeChat Pay sent the response is unknown.
        Manner::BodyByteByByte(403 | 500) => {
            ("truncated refusal", Outcome::Unknown, Delivery::Answered)
        }
        Manner::HeadersWithoutEnd | Manner::HeaderWithoutEnd | Manner::ContinueWithoutEnd => {
            ("exchange", Outcome::Unknown, Delivery::Unknown)
        }
        Manner::OpenBodyWithoutEnd | Manner::ChunksWithoutEnd | Manner::BodyTooLargeByteByByte => {
            ("too large", Outcome::Unknown, Delivery::Unknown)
        }
        Manner::ChunkExtensionWithoutEnd | Manner::TrailersWithoutEnd => {
            ("truncated", Outcome::Unknown, Delivery::Unknown)
        }
        _ => ("timeout", Outcome::Unknown, Delivery::Unknown),
    }
}

/// Returns a client with short timeouts if only a timeout ends the response.
fn client(server: &WireServer, front: &Front, is_short: bool) -> TestClient {
    let scheme = if server.base_url().starts_with("https") { "https" } else { "http" };
    let time = Duration::from_millis(if is_short { 300 } else { 100_000 });
    builder(server, &format!("{scheme}://{}", front.address()))
        .connect_timeout(time)
        .attempt_timeout(time)
        .call_timeout(Duration::from_secs(100))
        .max_concurrent_calls(MANY + 20)
        .max_queued_calls(0)
        .build()
        .unwrap()
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(80), what).await.expect("it ends")
}

#[tokio::test]
async fn each_is_cut_and_told_as_it_is() {
    own_process!(alone);
    let server = WireServer::start_plain().await;
    for (n, manner) in Manner::HTTP.into_iter().enumerate() {
        let before = Footprint::of_sockets();
        let front = Front::start(server.address(), Which::Named).await;
        let client = client(&server, &front, manner.ends_by_time());
        let ended = in_time(client.send(call(&format!("slow-{n}")))).await;
        assert_eq!(told(&ended), expected(manner), "{manner:?}: {ended:?}");
        assert_eq!(client.idle_connections(), 0, "{manner:?}");
        in_time(front.slow_connections(0)).await;
        drop((client, front));
        before.wait(&format!("{manner:?}")).await;
    }
}

#[tokio::test]
async fn a_handshake_without_end_is_cut_and_nothing_was_sent() {
    own_process!(alone);
    let server = WireServer::start_tls(ServerTls::Good).await;
    let before = Footprint::of_sockets();
    let front = Front::start(server.address(), Which::First(1)).await;
    let client = client(&server, &front, true);
    let ended = in_time(client.send(call("slow"))).await;
    assert_eq!(told(&ended), expected(Manner::HandshakeByteByByte), "{ended:?}");
    in_time(front.slow_connections(0)).await;
    drop((client, front));
    before.wait("after the handshake").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_them_do_not_hold_up_the_others() {
    own_process!(alone);
    let server = WireServer::start_plain().await;
    others_go_on(&server, Which::Named).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_handshakes_do_not_hold_up_the_others() {
    own_process!(alone);
    let server = WireServer::start_tls(ServerTls::Good).await;
    others_go_on(&server, Which::First(MANY)).await;
}

/// During many endless responses, other calls of the same client succeed; afterwards nothing is left behind.
async fn others_go_on(server: &WireServer, which: Which) {
    let before = Footprint::of_sockets();
    let front = Front::start(server.address(), which).await;
    let client = client(server, &front, false);
    // The size limits would end the others soon.
    let is_patient = |n: &usize| Manner::HTTP[*n].ends_by_time();
    let pending: Vec<_> = (0..Manner::HTTP.len()).filter(is_patient).collect();
    let mut slow = JoinSet::new();
    for n in 0..MANY {
        let (client, manner) = (client.clone(), pending[n % pending.len()]);
        slow.spawn(async move { client.send(call(&format!("slow-{manner}"))).await });
    }
    in_time(front.slow_connections(MANY)).await;

    all_end_well(&client, 20, 5).await;
    if let Some(ended) = slow.try_join_next() {
        panic!("the endless responses continue, but one call ended: {ended:?}");
    }
    assert!(client.idle_connections() <= 20);

    // Dropped calls release their connections and their places.
    slow.shutdown().await;
    in_time(front.slow_connections(0)).await;
    all_end_well(&client, MANY + 20, 1).await;
    drop((client, front));
    before.wait("after hundreds").await;
}

/// Makes this many concurrent calls, this many times.
async fn all_end_well(client: &TestClient, at_once: usize, times: usize) {
    for _ in 0..times {
        let mut calls = JoinSet::new();
        for n in 0..at_once {
            let client = client.clone();
            calls.spawn(async move { client.send(call(&format!("b-{n}"))).await });
        }
        for ended in in_time(calls.join_all()).await {
            assert_eq!(ended.expect("a good response").status(), 200);
        }
    }
}

/// The limits of a response head: 64 KiB, and 100 headers.
#[tokio::test]
async fn a_head_is_bounded() {
    own_process!(alone);
    let wechat_pay = wxpay_testing::WechatPay::builder().build();
    let filler = |bytes: usize| format!("X-Filler: {}\r\n", "x".repeat(bytes));
    for (headers, is_taken) in [
        (filler(60 << 10), true),
        // Hyper checks the limit only when its buffer is full, which may hold twice as much.
        (filler(200 << 10), false),
        ("X-Name: value\r\n".repeat(99), true),
        ("X-Name: value\r\n".repeat(101), false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            front::read_head(&mut stream).await.unwrap();
            let head = format!("HTTP/1.1 403 Forbidden\r\n{headers}Content-Length: 0\r\n\r\n");
            // The client may close the connection before the end.
            let _ = stream.write_all(head.as_bytes()).await;
            stream
        });
        let client = builder(&wechat_pay, &url).build().unwrap();
        let ended = in_time(client.send(call("b"))).await.unwrap_err();
        assert_eq!(matches!(ended, Error::Api(_)), is_taken, "{ended:?}");
        assert_eq!(matches!(ended, Error::Exchange(_)), !is_taken, "{ended:?}");
        drop(answering.await);
    }
}
