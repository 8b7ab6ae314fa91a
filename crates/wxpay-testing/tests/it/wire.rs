//! The wire server: exact bytes, real TLS, and connections that fail where specified.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{Call, PLANS, Response, address, terminate};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wxpay_testing::{
    Fault, Gateway, How, Misbehaviour, Plan, PlanState, Point, Refusal, ServerTls, Verdict,
    WireServer, ca_der, ca_pem, client_config,
};

async fn tcp(server: &WireServer) -> TcpStream {
    TcpStream::connect(server.address()).await.unwrap()
}

async fn tls(server: &WireServer, host: &'static str) -> std::io::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(Arc::new(client_config()));
    connector.connect(ServerName::try_from(host).unwrap(), tcp(server).await).await
}

#[tokio::test]
async fn the_target_is_checked_byte_for_byte() {
    let server = WireServer::start_plain().await;
    for (segment, plan_id) in [
        ("a%2Fb", "a/b"),
        ("a%20b", "a b"),
        ("..", ".."),
        ("%2E%2E", ".."),
        ("%252e", "%2e"),
        ("a'b", "a'b"),
        ("%e8%ae%a1", "计"),
    ] {
        server.add_plan(Plan::new(plan_id, "1004"));
        let target = terminate(segment);
        assert_eq!(Call::post(&server, &target).send(&server.base_url()).await.status, 204);
        assert_eq!(server.plan_state(plan_id), Some(PlanState::Terminated), "{segment}");
        let journal = server.journal();
        assert_eq!(journal.last().unwrap().target(), target);
    }
    // The same plan in another spelling is a different message.
    for (signed, sent) in [("a%2Fb", "a%2fb"), ("a'b", "a%27b"), ("12000", "%312000")] {
        let call = Call { target: terminate(sent), ..Call::post(&server, &terminate(signed)) };
        assert_eq!(call.send(&server.base_url()).await.status, 401, "{sent}");
        let journal = server.journal();
        let verdict = journal.last().unwrap().verdict();
        assert_eq!(verdict, &Verdict::Refused(Refusal::SignatureMismatch));
    }
}

#[tokio::test]
async fn the_gateway_sees_the_target_byte_for_byte() {
    let gateway = Gateway::start().await;
    let target = format!("{PLANS}/x/../12000/terminate");
    assert_eq!(Call::post(&gateway, &target).send(&gateway.base_url()).await.status, 404);
    assert_eq!(gateway.journal()[0].target(), target);
}

#[cfg(feature = "wiremock")]
#[tokio::test]
async fn behind_wiremock_it_responds_beside_other_mocks_and_sees_dot_segments_resolved() {
    use wiremock::matchers::{path, path_regex};
    use wiremock::{Mock, MockServer, ResponseTemplate};
    use wxpay_testing::{WechatPay, WiremockResponder};

    let (server, wechat_pay) = (MockServer::start().await, WechatPay::builder().build());
    let responder = WiremockResponder::new(wechat_pay.clone());
    Mock::given(path_regex("^/v3/")).respond_with(responder).mount(&server).await;
    Mock::given(path("/own")).respond_with(ResponseTemplate::new(418)).mount(&server).await;

    let call = Call::post(&wechat_pay, &terminate("12000"));
    assert_eq!(call.send(&server.uri()).await.status, 204);
    assert_eq!(wechat_pay.plan_state("12000"), Some(PlanState::Terminated));
    assert_eq!(Call::get(&wechat_pay, "/own").send(&server.uri()).await.status, 418);
    let call = Call::post(&wechat_pay, &format!("{PLANS}/x/../12001/terminate"));
    assert_eq!(call.send(&server.uri()).await.status, 401, "what it documents");
    assert_eq!(wechat_pay.journal()[1].target(), terminate("12001"));
}

#[tokio::test]
async fn its_certificate_is_for_this_machine() {
    for settings in [ServerTls::Good, ServerTls::Tls12] {
        let server = WireServer::start_tls(settings).await;
        for host in ["127.0.0.1", "localhost", "gateway.example"] {
            let mut stream = tls(&server, host).await.unwrap();
            let version = stream.get_ref().1.protocol_version().unwrap();
            let is_12 = version == rustls::ProtocolVersion::TLSv1_2;
            assert_eq!(is_12, settings == ServerTls::Tls12, "{version:?}");
            let call = Call::get(&server, &format!("{PLANS}/1004/delivery-plans"));
            assert_eq!(call.send_on(&mut stream).await.unwrap().status, 200);
        }
        assert!(server.base_url().starts_with("https://127.0.0.1:"));
    }
}

#[tokio::test]
async fn a_bad_certificate_is_bad_in_the_way_it_says() {
    use rustls::CertificateError;
    for (settings, is_expected) in [
        (
            ServerTls::WrongHost,
            (|e| matches!(e, CertificateError::NotValidForNameContext { .. }))
                as fn(&CertificateError) -> bool,
        ),
        (ServerTls::Expired, |e| matches!(e, CertificateError::ExpiredContext { .. })),
        (ServerTls::UntrustedCa, |e| matches!(e, CertificateError::BadSignature)),
    ] {
        let server = WireServer::start_tls(settings).await;
        let error = tls(&server, "127.0.0.1").await.unwrap_err();
        let cause = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
        let Some(rustls::Error::InvalidCertificate(cause)) = cause else { panic!("{error:?}") };
        assert!(is_expected(cause), "{settings:?}: {cause:?}");
        assert_eq!(server.requests_per_connection(), [0]);
    }
}

#[test]
fn the_authority_can_be_handed_out() {
    use base64::Engine;
    let der = base64::engine::general_purpose::STANDARD.encode(ca_der());
    let lines: String = ca_pem().lines().filter(|line| !line.starts_with("-----")).collect();
    assert_eq!(lines, der);
}

/// Sends a call, and returns what ends the connection: a response, or the kind of error.
async fn outcome<S>(call: &Call, stream: &mut S) -> Result<Response, ErrorKind>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    call.send_on(stream).await.map_err(|e| e.kind())
}

#[tokio::test]
async fn a_connection_is_reset_or_closed_at_the_point() {
    let points = [
        (Point::Accept, 0),
        (Point::Handshake, 0),
        (Point::RequestBytes(1), 0),
        (Point::RequestBytes(100), 0),
        (Point::Request, 0),
        (Point::Executed, 1),
        (Point::ResponseBytes(0), 1),
        (Point::ResponseBytes(30), 1),
    ];
    for how in [How::Reset, How::Close] {
        for (at, executions) in points {
            let server = WireServer::start_plain().await;
            server.fault_once(Fault::new(at, how));
            let call = Call::post(&server, &terminate("12000"));
            let kind = outcome(&call, &mut tcp(&server).await).await.unwrap_err();
            // With unread bytes, a close becomes a reset, as the type's documentation says.
            let unread = matches!(at, Point::Accept | Point::Handshake | Point::RequestBytes(_));
            match how {
                How::Close if !unread => assert_eq!(kind, ErrorKind::UnexpectedEof, "{at:?}"),
                How::Close => {}
                _ => assert!(
                    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
                    "{at:?}: {kind}"
                ),
            }
            assert_eq!(server.executions(), executions, "{at:?} {how:?}");
            // Only once: the next connection works.
            let call = Call::post(&server, &terminate("12001"));
            assert_eq!(call.send(&server.base_url()).await.status, 204);
        }
    }
}

#[tokio::test]
async fn so_many_bytes_of_a_response_arrive() {
    let target = format!("{PLANS}/1004/delivery-plans");
    for length in [1, 30, 400] {
        let server = WireServer::start_tls(ServerTls::Good).await;
        server.fault_once(Fault::new(Point::ResponseBytes(length), How::Close));
        let mut stream = tls(&server, "localhost").await.unwrap();
        stream.write_all(&Call::get(&server, &target).to_bytes()).await.unwrap();
        let mut arrived = Vec::new();
        // Truncated, without the TLS close_notify alert.
        let ended = stream.read_to_end(&mut arrived).await.map_err(|e| e.kind());
        assert_eq!(ended, Err(ErrorKind::UnexpectedEof));
        assert_eq!(arrived.len(), length);
        assert!(b"HTTP/1.1 200 OK\r\n".starts_with(&arrived[..length.min(17)]));
    }
}

#[tokio::test]
async fn a_body_is_cut_short_of_its_length() {
    let server = WireServer::start_plain().await;
    server.misbehave(Misbehaviour::Oversized(5_000));
    server.fault_once(Fault::new(Point::ResponseBytes(3_000), How::Close));
    let mut stream = tcp(&server).await;
    stream.write_all(&Call::post(&server, &terminate("12000")).to_bytes()).await.unwrap();
    let mut arrived = Vec::new();
    stream.read_to_end(&mut arrived).await.unwrap();
    assert_eq!(arrived.len(), 3_000);
    let head = String::from_utf8_lossy(&arrived).to_lowercase();
    assert!(head.contains("content-length: 5000\r\n"), "{head}");
}

#[tokio::test]
async fn a_connection_stalls_at_the_point() {
    for (at, executions, arrives) in [
        (Point::Accept, 0, 0),
        (Point::Handshake, 0, 0),
        (Point::RequestBytes(10), 0, 0),
        (Point::Request, 0, 0),
        (Point::Executed, 1, 0),
        (Point::ResponseBytes(20), 1, 20),
    ] {
        let server = WireServer::start_plain().await;
        server.fault_once(Fault::new(at, How::Stall));
        let mut stream = tcp(&server).await;
        stream.write_all(&Call::post(&server, &terminate("12000")).to_bytes()).await.unwrap();
        let mut arrived = vec![0; arrives];
        stream.read_exact(&mut arrived).await.unwrap();
        let more = timeout(Duration::from_millis(100), stream.read_u8()).await;
        assert!(more.is_err(), "{at:?}: nothing more comes, and no end either");
        assert_eq!(server.executions(), executions, "{at:?}");
    }
}

#[tokio::test]
async fn a_stalled_handshake_is_none() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    server.fault_once(Fault::new(Point::Accept, How::Stall));
    let stalled = timeout(Duration::from_millis(100), tls(&server, "localhost")).await;
    assert!(stalled.is_err());
    server.fault_once(Fault::new(Point::Handshake, How::Stall));
    let mut stream = tls(&server, "localhost").await.expect("TLS is agreed on");
    stream.write_all(&Call::post(&server, &terminate("12000")).to_bytes()).await.unwrap();
    assert!(timeout(Duration::from_millis(100), stream.read_u8()).await.is_err());
    assert_eq!(server.executions(), 0);
}

#[tokio::test]
async fn a_connection_ends_after_a_response_that_did_not_say_so() {
    for how in [How::Close, How::Reset] {
        let server = WireServer::start_plain().await;
        server.fault_once(Fault::new(Point::Responded, how));
        let mut stream = tcp(&server).await;
        let response = Call::post(&server, &terminate("12000")).send_on(&mut stream).await.unwrap();
        assert_eq!((response.status, response.header("connection")), (204, None));
        let ended = stream.read_u8().await.unwrap_err().kind();
        let expected =
            if how == How::Close { ErrorKind::UnexpectedEof } else { ErrorKind::ConnectionReset };
        assert_eq!(ended, expected);
    }
    let server = WireServer::start_tls(ServerTls::Good).await;
    server.fault_once(Fault::new(Point::Responded, How::Close));
    let mut stream = tls(&server, "localhost").await.unwrap();
    let response = Call::post(&server, &terminate("12000")).send_on(&mut stream).await.unwrap();
    assert_eq!(response.status, 204);
    assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0, "TLS ends in good order");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_a_response_and_not_before() {
    let idle = Duration::from_millis(500);
    let server = WireServer::builder().close_idle_after(idle).start().await.unwrap();
    let mut stream = tcp(&server).await;
    tokio::time::sleep(2 * idle).await;
    for plan_id in ["12000", "12001"] {
        let call = Call::post(&server, &terminate(plan_id));
        assert_eq!(call.send_on(&mut stream).await.unwrap().status, 204);
    }
    let ended = timeout(Duration::from_secs(30), stream.read_to_end(&mut Vec::new())).await;
    assert_eq!(ended.expect("it is closed").unwrap(), 0);
    assert_eq!(server.requests_per_connection(), [2]);
}

#[tokio::test]
async fn connections_and_their_requests_are_counted() {
    let server = WireServer::start_plain().await;
    let mut kept = tcp(&server).await;
    for plan_id in ["12000", "12001"] {
        let call = Call::post(&server, &terminate(plan_id));
        assert_eq!(call.send_on(&mut kept).await.unwrap().status, 204);
    }
    let call = Call::post(&server, &terminate("12002"));
    assert_eq!(call.send(&server.base_url()).await.status, 204);
    assert_eq!(server.requests_per_connection(), [2, 1]);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn all_connections_can_be_ended_at_once() {
    for (how, expected) in
        [(How::Close, ErrorKind::UnexpectedEof), (How::Reset, ErrorKind::ConnectionReset)]
    {
        let server = WireServer::start_plain().await;
        let mut stream = tcp(&server).await;
        let call = Call::post(&server, &terminate("12000"));
        assert_eq!(call.send_on(&mut stream).await.unwrap().status, 204);
        server.disconnect(how);
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), expected);
    }
}

#[tokio::test]
async fn a_connection_that_stalls_when_accepted_can_be_ended() {
    for (how, expected) in
        [(How::Close, ErrorKind::UnexpectedEof), (How::Reset, ErrorKind::ConnectionReset)]
    {
        let server = WireServer::start_plain().await;
        server.fault_once(Fault::new(Point::Accept, How::Stall));
        let mut stream = tcp(&server).await;
        while server.connections() == 0 {
            tokio::task::yield_now().await;
        }
        server.disconnect(how);
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), expected);
    }
}

#[tokio::test]
async fn an_entry_knows_the_request_id_of_its_response() {
    let server = WireServer::start_plain().await;
    let response = Call::post(&server, &terminate("12000")).send(&server.base_url()).await;
    let journal = server.journal();
    assert_eq!(journal[0].request_id(), response.header("request-id"));
    assert!(journal[0].request_id().is_some());
}

#[tokio::test]
async fn a_fault_can_go_on_and_be_ended() {
    let server = WireServer::start_plain().await;
    server.fault_always(Some(Fault::new(Point::Request, How::Reset)));
    let call = Call::post(&server, &terminate("12000"));
    for _ in 0..3 {
        outcome(&call, &mut tcp(&server).await).await.unwrap_err();
    }
    server.fault_always(None);
    assert_eq!(call.send(&server.base_url()).await.status, 204, "none of the others was seen");
    assert_eq!(server.journal().len(), 1);
}

#[tokio::test]
async fn nothing_is_left_of_a_server_that_was_dropped() {
    let server = WireServer::start_plain().await;
    let mut stream = tcp(&server).await;
    let call = Call::post(&server, &terminate("12000"));
    assert_eq!(call.send_on(&mut stream).await.unwrap().status, 204);
    let (base_url, shared) = (server.base_url(), Arc::downgrade(server.wechat_pay()));
    drop(server);
    assert_eq!(stream.read_u8().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    let refused = TcpStream::connect(address(&base_url)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(shared.upgrade().is_none(), "no task holds on to it");
}

#[tokio::test]
async fn all_is_settled_when_the_clients_are_gone_and_not_before() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    server.settled().await;
    for n in 1..=20 {
        let mut stream = tls(&server, "localhost").await.unwrap();
        let waited = timeout(Duration::ZERO, server.settled()).await;
        assert!(waited.is_err(), "a connection that is kept is waited for");
        let request = Call::get(&server, &format!("{PLANS}/1004/delivery-plans"));
        let call = tokio::spawn(async move { request.send_on(&mut stream).await.unwrap().status });
        timeout(Duration::from_secs(60), server.settled()).await.expect("it ends");
        assert_eq!(server.journal().len(), n);
        assert_eq!(call.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_connection_that_is_stalled_is_settled() {
    let points = [
        Point::Accept,
        Point::Handshake,
        Point::RequestBytes(1),
        Point::Request,
        Point::Executed,
        Point::ResponseBytes(1),
        Point::Responded,
    ];
    for at in points {
        let server = WireServer::start_plain().await;
        server.fault_once(Fault::new(at, How::Stall));
        let mut stream = tcp(&server).await;
        let request = Call::get(&server, &format!("{PLANS}/1004/delivery-plans")).to_bytes();
        stream.write_all(&request).await.unwrap();
        let accepted = async {
            while server.connections() == 0 {
                tokio::task::yield_now().await;
            }
            server.settled().await;
        };
        timeout(Duration::from_secs(60), accepted).await.unwrap_or_else(|_| panic!("{at:?}"));
    }
}

#[tokio::test]
async fn it_listens_where_it_is_told() {
    let ip = std::net::Ipv4Addr::new(127, 0, 0, 9);
    let server = WireServer::builder().ip(ip.into()).start().await.unwrap();
    assert_eq!(server.address().ip(), ip);
    let call = Call::get(&server, &format!("{PLANS}/1004/delivery-plans"));
    assert_eq!(call.send(&server.base_url()).await.status, 200);
}
