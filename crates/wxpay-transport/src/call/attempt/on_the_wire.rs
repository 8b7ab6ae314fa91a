//! Attempts against a scripted server.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wxpay_auth::{Algorithm, FileKeySigner, KeyRing, Mchid, async_trait};

use super::*;
use crate::client::Client;
use crate::client::builder::ClientBuilder;
use crate::connection::base_url::BaseUrl;
use crate::connection::proxy::Proxy;
use crate::message::signed_response::{self, SERIAL, key_ring};
use crate::message::target::Target;
use crate::observe::audit::{AuditOutcome, AuditRecord};
use crate::retry::policy::NoRetry;
use crate::transport::Transport;

fn signed(status: u16, body: &str) -> String {
    let headers = signed_response::headers(body.as_bytes());
    let lines =
        headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
    let lines: String = lines.collect();
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{lines}\r\n{body}", body.len())
}

fn refused(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Responds to each request head, given how many came before it on the connection. Returns the URL and
/// the received heads.
fn serve(
    response: impl Fn(usize, &str) -> String + Send + Sync + 'static,
) -> (BaseUrl, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = BaseUrl::new(format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let (requests, response) = (Arc::new(Mutex::new(Vec::new())), Arc::new(response));
    let received = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, received) = (stream.unwrap(), Arc::clone(&received));
            let response = Arc::clone(&response);
            std::thread::spawn(move || {
                for before in 0.. {
                    let (mut head, mut byte) = (Vec::new(), [0]);
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read(&mut byte) {
                            Ok(1) => head.extend(byte),
                            _ => return,
                        }
                    }
                    let head = String::from_utf8(head).unwrap();
                    let said = response(before, &head);
                    received.lock().unwrap().push(head);
                    if stream.write_all(said.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, requests)
}

fn get(name: &'static str) -> Request {
    Request::get("x", Target::new(format!("/v3/{name}")).unwrap())
        .recognised_by(move |body| body == format!(r#"{{"id":"{name}"}}"#).as_bytes())
}

fn client<S: Signer>(url: BaseUrl, signer: S, ring: KeyRing) -> Client<S, KeyRing> {
    let builder: ClientBuilder<_, _> =
        Client::builder(Mchid::new("1900007291").unwrap(), signer, ring);
    builder.base_url(url).proxy(Proxy::none()).without_failover().retry(NoRetry).build().unwrap()
}

fn signer() -> FileKeySigner {
    wxpay_testing::WechatPay::builder().build().signer()
}

/// On a kept connection the server sends a 202 that could belong to the first request; a new one gets a 404.
#[tokio::test]
async fn a_202_on_a_kept_connection_may_be_the_response_to_another() {
    let (url, heard) = serve(|before, head| match (before, head.contains("/v3/b")) {
        (0, false) => signed(200, r#"{"id":"a"}"#),
        (0, true) => refused(404, r#"{"code":"NOT_FOUND"}"#),
        _ => signed(202, ""),
    });
    let client = client(url, signer(), key_ring());
    client.send(get("a")).await.unwrap();
    let ended = client.send(get("b")).await;
    assert_eq!(heard.lock().unwrap().len(), 2);
    let Err(Error::Unverified(error)) = ended else { panic!("{ended:?}") };
    assert!(matches!(error.cause(), UnverifiedCause::Foreign), "{error:?}");
}

#[tokio::test]
async fn nothing_of_a_query_or_a_header_is_shown() {
    let (url, _) = serve(|_, head| {
        let said: Vec<&str> = head.lines().filter(|line| line.contains("nobody")).collect();
        refused(400, &format!(r#"{{"code":"PARAM_ERROR","message":"{}"}}"#, said.join(" ")))
    });
    let target = Target::new("/v3/x").unwrap().query("name", "a query/that nobody may see");
    let request = Request::get("x", target.unwrap()).with_header(
        HeaderName::from_static("x-token"),
        HeaderValue::from_static("a-header-that-nobody-may-see"),
    );
    let error = client(url, signer(), key_ring()).send(request.unwrap()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "x answered 400 PARAM_ERROR: GET /v3/x?name=[…] HTTP/1.1 x-token: […]",
        "{error:?}"
    );
    assert!(!format!("{error:?}").contains("nobody"), "{error:?}");
}

/// Takes long enough to sign for the last verifying key to be removed meanwhile.
#[derive(Debug)]
struct Emptying(FileKeySigner, KeyRing);

#[async_trait]
impl Signer for Emptying {
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    async fn sign(&self, message: &[u8]) -> Result<wxpay_auth::Signature, SignError> {
        assert!(self.1.remove(&SERIAL.parse().unwrap()));
        self.0.sign(message).await
    }
}

#[tokio::test]
async fn nothing_is_sent_when_the_last_key_goes_while_it_is_signed() {
    let (url, heard) = serve(|_, _| signed(204, ""));
    let ring = key_ring();
    let client = client(url, Emptying(signer(), ring.clone()), ring);
    let ended = client.send(Request::post("x", Target::new("/v3/x").unwrap())).await;
    let error = ended.unwrap_err();
    assert!(matches!(error, Error::Verifier(_)), "{error:?}");
    assert_eq!((error.delivery(), heard.lock().unwrap().len()), (Delivery::NotSent, 0));
}

/// Answers each request with an empty body; returns which request of its connection each one was.
fn places(status: u16, headers: &'static str) -> (BaseUrl, Arc<Mutex<Vec<usize>>>) {
    let places = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&places);
    let (url, _) = serve(move |before, _| {
        noted.lock().unwrap().push(before);
        signed(status, "").replacen("\r\n", &format!("\r\n{headers}"), 1)
    });
    (url, places)
}

fn post() -> Request {
    Request::post("x", Target::new("/v3/x").unwrap())
}

#[tokio::test]
async fn what_must_not_be_repeated_goes_on_a_connection_of_its_own() {
    let (url, places) = places(204, "");
    let client = client(url, signer(), key_ring());
    let kept = || client.inner().calls.domains.main.kept.len();
    assert_eq!((kept(), client.idle_connections()), (0, 0));
    for _ in 0..3 {
        client.send(post()).await.unwrap();
        assert_eq!(kept(), 1, "one is kept for queries that may follow");
    }
    assert_eq!(*places.lock().unwrap(), [0; 3]);
    // The third call opened a spare ahead.
    let opened = async {
        while client.idle_connections() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), opened).await.unwrap();
    let domain = &client.inner().calls.domains.main;
    assert_eq!((kept(), domain.spares.len(), domain.idle_connections()), (1, 1, 2));
    assert!(format!("{domain:?}").starts_with("Domain { base_url: "), "{domain:?}");
}

#[tokio::test]
async fn a_connection_that_the_server_closes_is_not_kept() {
    let (url, _) = places(204, "Connection: close\r\n");
    let client = client(url, signer(), key_ring());
    client.send(post()).await.unwrap();
    assert_eq!(client.inner().calls.domains.main.kept.len(), 0);
}

#[tokio::test]
async fn a_connection_is_not_kept_after_a_response_that_was_not_verified() {
    let places = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&places);
    let (url, _) = serve(move |before, head| {
        noted.lock().unwrap().push(before);
        let id = if head.contains("/v3/a") { "a" } else { "b" };
        let body = format!(r#"{{"id":"{id}"}}"#);
        if noted.lock().unwrap().len() == 1 { refused(200, &body) } else { signed(200, &body) }
    });
    let client = client(url, signer(), key_ring());
    let error = client.send(get("a")).await.unwrap_err();
    assert!(matches!(error, Error::Unverified(_)), "{error:?}");
    for name in ["a", "b", "a"] {
        client.send(get(name)).await.unwrap();
    }
    assert_eq!(*places.lock().unwrap(), [0, 0, 1, 2]);
}

#[tokio::test]
async fn a_response_to_another_request_is_refused_on_a_new_connection_too() {
    let (url, _) = serve(|_, _| signed(200, r#"{"id":"a"}"#));
    let error = client(url, signer(), key_ring()).send(get("b")).await.unwrap_err();
    let Error::Unverified(error) = error else { panic!("{error:?}") };
    assert!(matches!(error.cause(), UnverifiedCause::Foreign), "{error:?}");
}

#[tokio::test]
async fn the_request_names_the_key_and_the_length_of_its_body() {
    let (url, heard) = serve(|_, head| {
        let body = if head.starts_with("GET") { r#"{"id":"a"}"# } else { "" };
        signed(200, body)
    });
    let client = client(url, signer(), key_ring());
    client.send(get("a")).await.unwrap();
    client.send(post()).await.unwrap();
    let heard = heard.lock().unwrap();
    for (head, length) in heard.iter().zip([None, Some("0")]) {
        let value = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        assert_eq!((value("wechatpay-serial"), value("content-length")), (Some(SERIAL), length));
    }
    assert_eq!(heard.len(), 2);
}

/// Signs once the server has accepted a connection.
#[derive(Debug)]
struct AfterConnecting(FileKeySigner, Arc<tokio::sync::Notify>);

#[async_trait]
impl Signer for AfterConnecting {
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    async fn sign(&self, message: &[u8]) -> Result<wxpay_auth::Signature, SignError> {
        self.1.notified().await;
        self.0.sign(message).await
    }
}

#[tokio::test]
async fn it_connects_and_signs_at_the_same_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = BaseUrl::new(format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let accepted = Arc::new(tokio::sync::Notify::new());
    let signer = AfterConnecting(signer(), Arc::clone(&accepted));
    let client = client(url, signer, key_ring());
    let (call, connection) = (client.send(get("a")), async {
        let (connection, _) = listener.accept().await.unwrap();
        accepted.notify_one();
        connection.readable().await.unwrap();
        drop(connection);
    });
    let (ended, ()) = tokio::join!(call, connection);
    let error = ended.unwrap_err();
    assert!(matches!(error, Error::Exchange(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_no_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = BaseUrl::new(format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let error = client(url, signer(), key_ring()).send(get("a")).await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error:?}");
}

#[tokio::test]
async fn the_signature_of_a_refusal_is_told() {
    const BODY: &str = r#"{"code":"PARAM_ERROR"}"#;
    let (url, _) =
        serve(
            |_, head| {
                if head.contains("/v3/a") { signed(400, BODY) } else { refused(400, BODY) }
            },
        );
    let client = client(url, signer(), key_ring());
    for (name, is_verified) in [("a", true), ("b", false)] {
        let error = client.send(get(name)).await.unwrap_err();
        let Error::Api(error) = error else { panic!("{error:?}") };
        match error.signature() {
            ResponseSignature::Verified(serial) if is_verified => {
                assert_eq!(serial.as_str(), SERIAL);
            }
            ResponseSignature::Missing => assert!(!is_verified),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// On a kept connection it may be the response to another request.
#[tokio::test]
async fn a_refusal_on_a_kept_connection_is_confirmed_on_a_new_one() {
    let (url, heard) = serve(|_, head| {
        if head.contains("/v3/a") {
            signed(200, r#"{"id":"a"}"#)
        } else {
            refused(404, r#"{"code":"NOT_FOUND"}"#)
        }
    });
    let client = client(url, signer(), key_ring());
    client.send(get("a")).await.unwrap();
    let error = client.send(get("b")).await.unwrap_err();
    assert_eq!((error.outcome(), error.attempts()), (crate::Outcome::Rejected, Some(2)));
    assert_eq!(heard.lock().unwrap().len(), 3);
}

#[derive(Debug, Clone, Default)]
struct Outcomes(Arc<Mutex<Vec<AuditOutcome>>>);

impl Audit for Outcomes {
    fn record(&self, record: &AuditRecord<'_>) {
        self.0.lock().unwrap().push(record.outcome);
    }
}

#[tokio::test]
async fn each_signed_attempt_is_recorded_once_when_it_ends_or_is_dropped() {
    let (called, mut calls) = tokio::sync::mpsc::unbounded_channel();
    let (url, _) = serve(move |_, head| {
        called.send(()).unwrap();
        if head.contains("/v3/slow") {
            std::thread::sleep(Duration::from_secs(60));
        }
        signed(200, r#"{"id":"a"}"#)
    });
    let outcomes = Outcomes::default();
    let builder: ClientBuilder<_, _> =
        Client::builder(Mchid::new("1900007291").unwrap(), signer(), key_ring());
    let builder = builder.base_url(url).proxy(Proxy::none()).without_failover().retry(NoRetry);
    let client = builder.audit(outcomes.clone()).build().unwrap();
    client.send(get("a")).await.unwrap();
    assert_eq!(*outcomes.0.lock().unwrap(), [AuditOutcome::Verified]);
    calls.recv().await.unwrap();
    tokio::select! {
        ended = client.send(get("slow")) => panic!("{ended:?}"),
        _ = calls.recv() => {}
    }
    assert_eq!(*outcomes.0.lock().unwrap(), [AuditOutcome::Verified, AuditOutcome::Unknown]);
}
