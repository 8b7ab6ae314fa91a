//! The reported delivery matches what happened on the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use wxpay_auth::{
    Algorithm, FileKeySigner, KeyRing, SignError, SignErrorKind, Signature, Signer, async_trait,
};
use wxpay_marketing::{DeliveryPlans, Error};
use wxpay_testing::{
    Fault, How, Misbehaviour, PlanState, Point, ServerTls, WireServer, server_config,
};
use wxpay_tests::{TestClient, builder, chain, kind, plan_id, plans};
use wxpay_transport::{
    BaseUrl, Client, ConnectionReuse, Delivery, ErrorBody, ExchangeFault, NoRetry, Outcome, Proxy,
    Replay, Request, Target, Transport,
};

async fn servers() -> [WireServer; 3] {
    [
        WireServer::start_plain().await,
        WireServer::start_tls(ServerTls::Good).await,
        WireServer::start_tls(ServerTls::Tls12).await,
    ]
}

fn assert_unknown(error: &Error, server: &WireServer) {
    let shown = format!("{server:?}: {}", chain(error));
    assert_eq!(error.delivery(), Delivery::Unknown, "{shown}");
    assert_eq!(error.outcome(), Outcome::Unknown, "{shown}");
    assert!(!error.may_retry(), "{shown}");
    assert!(error.hint().contains("read the state"), "{shown}");
}

fn assert_not_sent(error: &Error, server: &WireServer) {
    let shown = format!("{server:?}: {}", chain(error));
    assert_eq!(error.delivery(), Delivery::NotSent, "{shown}");
    assert_eq!(error.outcome(), Outcome::NotSent, "{shown}");
    assert!(error.may_retry(), "{shown}");
    assert!(error.hint().contains("nothing was sent"), "{shown}");
    assert_eq!(server.executions(), 0, "{shown}");
    assert_eq!(server.journal().len(), 0, "{shown}");
}

/// Returns a service that sends calls on kept connections although they must not be repeated.
fn plans_on_kept_connections(server: &WireServer) -> DeliveryPlans<TestClient> {
    let builder = builder(server, &server.base_url()).connection_reuse(ConnectionReuse::All);
    DeliveryPlans::new(builder.build().unwrap())
}

#[tokio::test]
async fn all_is_well_over_plain_tcp_and_both_versions_of_tls() {
    for server in servers().await {
        let plans = plans(&server, &server.base_url());
        for id in ["12000", "12001", "12002"] {
            plans.terminate(&plan_id(id)).await.unwrap();
            assert_eq!(server.plan_state(id), Some(PlanState::Terminated));
        }
        let requests = server.requests_per_connection();
        assert!(requests.iter().all(|n| *n <= 1), "each on an unused connection: {requests:?}");
    }
}

#[tokio::test]
async fn a_break_after_the_request_is_unknown() {
    for how in [How::Reset, How::Close] {
        for (at, executions) in [
            (Point::RequestBytes(1), 0),
            (Point::RequestBytes(100), 0),
            (Point::Request, 0),
            (Point::Executed, 1),
            (Point::ResponseBytes(0), 1),
            (Point::ResponseBytes(40), 1),
        ] {
            for server in servers().await {
                server.fault_once(Fault::new(at, how));
                let plans = plans(&server, &server.base_url());
                let error = plans.terminate(&plan_id("12000")).await.unwrap_err();
                assert_eq!(kind(&error), "exchange", "{at:?} {how:?}: {}", chain(&error));
                assert_unknown(&error, &server);
                assert_eq!(server.executions(), executions, "{at:?} {how:?}");
                assert_eq!(plans.transport().idle_connections(), 0, "{at:?} {how:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_break_on_a_kept_connection_is_unknown_as_well() {
    for server in servers().await {
        let plans = plans_on_kept_connections(&server);
        plans.terminate(&plan_id("12000")).await.unwrap();
        server.fault_once(Fault::new(Point::Executed, How::Reset));
        let error = plans.terminate(&plan_id("12001")).await.unwrap_err();
        assert_unknown(&error, &server);
        assert_eq!(server.connections(), 1);
        assert_eq!(server.plan_state("12001"), Some(PlanState::Terminated));
        plans.terminate(&plan_id("12002")).await.expect("a new connection works");
    }
}

#[tokio::test]
async fn a_tls_handshake_that_breaks_has_sent_nothing() {
    for how in [How::Reset, How::Close] {
        let server = WireServer::start_tls(ServerTls::Good).await;
        server.fault_always(Some(Fault::new(Point::Accept, how)));
        let plans = plans(&server, &server.base_url());
        let error = plans.terminate(&plan_id("12000")).await.unwrap_err();
        assert_eq!(kind(&error), "connect", "{}", chain(&error));
        assert_not_sent(&error, &server);
    }
}

#[tokio::test]
async fn a_stalled_tls_handshake_ends_with_the_connect_timeout() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    server.fault_always(Some(Fault::new(Point::Accept, How::Stall)));
    let client = builder(&server, &server.base_url())
        .connect_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let error = DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap_err();
    assert!(error.to_string().contains("connect timeout"), "{error}");
    assert_not_sent(&error, &server);
}

/// Signs only after the server has broken the connection: no byte of the request has been written by then.
#[derive(Debug)]
struct SlowSigner(FileKeySigner);

#[async_trait]
impl Signer for SlowSigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Sha256Rsa2048
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.0.sign(message).await
    }
}

fn slow_plans(server: &WireServer, base_url: String) -> DeliveryPlans<Client<SlowSigner, KeyRing>> {
    let client = Client::builder(server.mchid(), SlowSigner(server.signer()), server.key_ring())
        .base_url(BaseUrl::new(base_url).unwrap())
        .proxy(Proxy::none())
        .tls(wxpay_testing::client_config())
        .build()
        .unwrap();
    DeliveryPlans::new(client)
}

/// Ends a connection after the handshake with something to which TLS responds: a `close_notify`, or what a load
/// balancer says without TLS.
async fn end_after_the_handshake(listener: TcpListener, tls: ServerTls, is_orderly: bool) {
    let acceptor = TlsAcceptor::from(Arc::new(server_config(tls)));
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let mut tls = acceptor.accept(tcp).await.unwrap();
        if is_orderly {
            tls.shutdown().await.unwrap();
        } else {
            tls.get_mut().0.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
        }
        // Keeps the connection open meanwhile.
        tokio::spawn(async move { tls.read(&mut [0]).await });
    }
}

#[tokio::test]
async fn an_alert_before_the_request_is_written_is_no_part_of_it() {
    for tls in [ServerTls::Good, ServerTls::Tls12] {
        for is_orderly in [true, false] {
            let server = WireServer::start_plain().await;
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base_url = format!("https://{}", listener.local_addr().unwrap());
            let ends = tokio::spawn(end_after_the_handshake(listener, tls, is_orderly));
            let error = slow_plans(&server, base_url).terminate(&plan_id("12000")).await;
            let error = error.unwrap_err();
            assert_eq!(kind(&error), "exchange", "{tls:?} {is_orderly}: {}", chain(&error));
            assert_not_sent(&error, &server);
            ends.abort();
        }
    }
}

#[tokio::test]
async fn a_reset_before_the_request_is_written_has_sent_nothing() {
    for how in [How::Reset, How::Close] {
        for server in servers().await {
            server.fault_always(Some(Fault::new(Point::Handshake, how)));
            let plans = slow_plans(&server, server.base_url());
            let error = plans.terminate(&plan_id("12000")).await.unwrap_err();
            // A client may notice while it still connects or performs the handshake: again no byte is sent.
            assert!(["exchange", "connect"].contains(&kind(&error)), "{}", chain(&error));
            assert_not_sent(&error, &server);
        }
    }
}

#[tokio::test]
async fn kept_connections_that_the_server_ended_are_not_used() {
    for how in [How::Reset, How::Close] {
        for server in servers().await {
            let plans = plans_on_kept_connections(&server);
            plans.terminate(&plan_id("12000")).await.unwrap();
            assert_eq!(plans.transport().idle_connections(), 1);
            server.disconnect(how);
            // Wait until the client notices the close, as it does in the seconds between two calls.
            tokio::time::sleep(Duration::from_millis(100)).await;
            plans.terminate(&plan_id("12001")).await.expect("a new connection is opened");
            assert_eq!(server.connections(), 2);
        }
    }
}

#[tokio::test]
async fn a_connection_that_ends_behind_its_response_is_not_used_again() {
    for how in [How::Reset, How::Close] {
        for server in servers().await {
            let plans = plans_on_kept_connections(&server);
            for id in ["12000", "12001", "12002"] {
                // The response says `Keep-Alive`, but the connection ends.
                server.fault_once(Fault::new(Point::Responded, how));
                plans.terminate(&plan_id(id)).await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert_eq!((server.connections(), server.executions()), (3, 3), "{how:?}");
        }
    }
}

#[tokio::test]
async fn a_stall_after_the_request_is_unknown() {
    for at in [
        Point::RequestBytes(10),
        Point::Request,
        Point::Executed,
        Point::ResponseBytes(0),
        Point::ResponseBytes(40),
    ] {
        let server = WireServer::start_tls(ServerTls::Good).await;
        server.fault_once(Fault::new(at, How::Stall));
        let client = builder(&server, &server.base_url())
            .attempt_timeout(Duration::from_secs(1))
            .build()
            .unwrap();
        let error = DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap_err();
        assert_eq!(kind(&error), "timeout", "{at:?}");
        assert_unknown(&error, &server);
    }
}

#[tokio::test]
async fn a_success_that_is_cut_is_unknown() {
    for how in [How::Reset, How::Close] {
        let server = WireServer::start_tls(ServerTls::Good).await;
        server.misbehave(Misbehaviour::Oversized(100_000));
        server.fault_once(Fault::new(Point::ResponseBytes(50_000), how));
        let plans = plans(&server, &server.base_url());
        let error = plans.terminate(&plan_id("12000")).await.unwrap_err();
        assert_eq!(kind(&error), "unverified", "{}", chain(&error));
        assert!(error.to_string().contains("ended too early"), "{error}");
        assert_unknown(&error, &server);
        assert_eq!(server.executions(), 1);
    }
}

#[tokio::test]
async fn a_refusal_that_is_cut_or_stalls_is_not_known_to_be_one() {
    for how in [How::Close, How::Stall] {
        let server = WireServer::start_tls(ServerTls::Good).await;
        let body = wxpay_testing::ErrorBody::json("PARAM_ERROR", "x".repeat(10_000));
        let misbehaviour =
            Misbehaviour::Status { status: 400, body, signed: true, executed: false };
        server.misbehave(misbehaviour);
        server.fault_once(Fault::new(Point::ResponseBytes(5_000), how));
        let client = builder(&server, &server.base_url())
            .attempt_timeout(Duration::from_secs(1))
            .build()
            .unwrap();
        let error = DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap_err();
        assert_eq!((kind(&error), error.outcome()), ("api", Outcome::Unknown), "{how:?}");
        assert!(error.hint().contains("not whole"), "{}", error.hint());
        assert_eq!(error.api().unwrap().body_kind(), ErrorBody::Truncated);
        assert!(
            error.to_string().contains("answered 400 with a body that ended too early"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_refusal_above_the_limit_is_not_known_to_be_one() {
    let server = WireServer::start_plain().await;
    let body = wxpay_testing::ErrorBody::json("PARAM_ERROR", "x".repeat(10_000));
    let misbehaviour = Misbehaviour::Status { status: 400, body, signed: true, executed: false };
    server.misbehave(misbehaviour);
    let client = builder(&server, &server.base_url()).max_response_bytes(1000).build().unwrap();
    let error = DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(error.hint().contains("above the limit"), "{}", error.hint());
    assert_eq!(error.api().unwrap().body_kind(), ErrorBody::TooLarge);
}

/// Fails every second time.
#[derive(Debug)]
struct MoodySigner(FileKeySigner, AtomicBool);

#[async_trait]
impl Signer for MoodySigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Sha256Rsa2048
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        if self.1.fetch_xor(true, Ordering::Relaxed) {
            return Err(SignError::new(SignErrorKind::Throttled, "too many signatures"));
        }
        self.0.sign(message).await
    }
}

#[tokio::test]
async fn a_signer_that_fails_has_sent_nothing_and_costs_no_connection() {
    let server = WireServer::start_plain().await;
    let signer = MoodySigner(server.signer(), AtomicBool::new(false));
    let client = Client::builder(server.mchid(), signer, server.key_ring())
        .base_url(BaseUrl::new(server.base_url()).unwrap())
        .proxy(Proxy::none())
        .retry(NoRetry)
        .connection_reuse(ConnectionReuse::All)
        .build()
        .unwrap();
    let plans = DeliveryPlans::new(client);
    plans.terminate(&plan_id("12000")).await.unwrap();
    let error = plans.terminate(&plan_id("12001")).await.unwrap_err();
    assert_eq!((kind(&error), error.delivery()), ("signing", Delivery::NotSent));
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert!(error.may_retry(), "throttling passes");
    assert!(chain(&error).contains("throttled"), "{}", chain(&error));
    plans.terminate(&plan_id("12001")).await.unwrap();
    assert_eq!((server.connections(), server.journal().len()), (1, 2));
}

type Form = fn(&[u8]) -> Vec<u8>;

/// Returns the signature in a form other than its bytes.
#[derive(Debug)]
struct FormSigner(FileKeySigner, Form);

#[async_trait]
impl Signer for FormSigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Sha256Rsa2048
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        let signature = self.0.sign(message).await?;
        Ok(Signature::new(signature.serial_no().clone(), (self.1)(signature.as_bytes())))
    }
}

#[tokio::test]
async fn a_signature_of_the_wrong_length_is_not_sent() {
    use base64::Engine;
    let base64 =
        |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes).into_bytes();
    let forms: [(usize, Form); 5] = [
        (0, |_| Vec::new()),
        (8, |bytes| bytes[..8].to_vec()),
        (255, |bytes| bytes[1..].to_vec()),
        (257, |bytes| [&[0], bytes].concat()),
        (344, base64),
    ];
    for (length, form) in forms {
        let server = WireServer::start_plain().await;
        let signer = FormSigner(server.signer(), form);
        let client = Client::builder(server.mchid(), signer, server.key_ring())
            .base_url(BaseUrl::new(server.base_url()).unwrap())
            .proxy(Proxy::none())
            .build()
            .unwrap();
        let error = DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap_err();
        assert_eq!((kind(&error), error.delivery()), ("signing", Delivery::NotSent), "{length}");
        assert_eq!(error.outcome(), Outcome::NotSent);
        assert!(!error.may_retry(), "a retry would give the same result");
        let said = chain(&error);
        let what = format!("a signature of {length} bytes, WECHATPAY2-SHA256-RSA2048 needs 256");
        assert!(said.contains(&what), "{said}");
        assert!(error.hint().contains("raw bytes"), "{}", error.hint());
        assert!(server.journal().is_empty());
    }
}

#[tokio::test]
async fn what_is_no_http_is_unknown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        assert!(read > 0);
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").await.unwrap();
    });
    let keys = WireServer::start_plain().await;
    let error = plans(&keys, &base_url).terminate(&plan_id("12000")).await.unwrap_err();
    let Error::Transport(wxpay_transport::Error::Exchange(exchange)) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(exchange.fault(), ExchangeFault::NotHttp);
    assert_eq!(error.outcome(), Outcome::Unknown);
}

#[tokio::test]
async fn a_response_without_an_end_is_cut_off() {
    for (status, is_success) in [("200 OK", true), ("400 Bad Request", false)] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let endless = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            // No length is announced.
            let head = format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let chunk = [b"4000\r\n".to_vec(), vec![b'x'; 0x4000], b"\r\n".to_vec()].concat();
            let mut sent = 0_usize;
            while stream.write_all(&chunk).await.is_ok() {
                sent += chunk.len();
            }
            sent
        });
        let keys = WireServer::start_plain().await;
        let client = builder(&keys, &base_url).max_response_bytes(100_000).build().unwrap();
        let error = DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap_err();
        if is_success {
            assert_eq!((kind(&error), error.outcome()), ("unverified", Outcome::Unknown));
            assert!(error.to_string().contains("larger than 100000 bytes"), "{error}");
        } else {
            assert_eq!((kind(&error), error.outcome()), ("api", Outcome::Unknown));
            assert_eq!(error.api().unwrap().body_kind(), ErrorBody::TooLarge);
        }
        // The client has closed the connection; buffers in between hold a few megabytes at most.
        assert!(endless.await.unwrap() < 64 << 20);
    }
}

#[tokio::test]
async fn a_query_of_unknown_outcome_may_be_repeated() {
    let server = WireServer::start_plain().await;
    let client = builder(&server, &server.base_url()).build().unwrap();
    let path = "/v3/marketing/partner/delivery-plan/delivery-plans/1004/delivery-plans";
    let request = Request::get("delivery_plans.list", Target::new(path).unwrap());
    for (replay, may_retry) in [(Replay::Safe, true), (Replay::Keyed, true), (Replay::Never, false)]
    {
        server.fault_once(Fault::new(Point::Executed, How::Close));
        let error = client.send(request.clone().with_replay(replay)).await.unwrap_err();
        assert_eq!(error.delivery(), Delivery::Unknown);
        assert_eq!(error.may_retry(), may_retry, "{replay}");
    }
    let response = client.send(request).await.unwrap();
    let list: serde_json::Value = serde_json::from_slice(response.body().body()).unwrap();
    assert_eq!(list["total_count"], 3);
}
