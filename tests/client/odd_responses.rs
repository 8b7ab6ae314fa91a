//! Invalid responses: how the call ends, and that other calls are not affected.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wxpay_marketing::DeliveryPlans;
use wxpay_testing::{Plan, PlanState, WireServer};
use wxpay_tests::{builder, chain, kind, plan_id};
use wxpay_transport::{Backoff, Delivery, Outcome};

/// How an executed call ends: `None` for success, otherwise the kind of the error and the delivery. In every
/// error case, the only correct outcome is unknown.
type End = Option<(&'static str, Delivery)>;

type Spoil = fn(&Good) -> Vec<u8>;

/// A response of a good server, to be modified.
struct Good {
    /// Its lines, without the length.
    head: Vec<String>,
}

impl Good {
    fn headers(&self) -> String {
        self.head.iter().skip(1).map(|line| format!("{line}\r\n")).collect()
    }

    /// Returns the response with other lines in its head.
    fn with(&self, lines: &str) -> Vec<u8> {
        format!("HTTP/1.1 204 No Content\r\n{}{lines}\r\n", self.headers()).into_bytes()
    }

    fn with_status(&self, status: &str) -> Vec<u8> {
        format!("HTTP/1.1 {status}\r\n{}Content-Length: 0\r\n\r\n", self.headers()).into_bytes()
    }
}

/// Forwards a request without a body to a good server.
async fn ask(upstream: SocketAddr, request: &[u8]) -> Good {
    let mut stream = TcpStream::connect(upstream).await.expect("a server");
    stream.write_all(request).await.expect("it reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    let head = String::from_utf8(head).expect("text");
    let mut lines = Vec::new();
    for line in head.lines().filter(|line| !line.is_empty()) {
        match line.to_ascii_lowercase().strip_prefix("content-length:") {
            Some(value) => assert_eq!(value.trim(), "0", "a termination has no body"),
            None => lines.push(line.to_owned()),
        }
    }
    Good { head: lines }
}

/// Responds to each request like a good server, but with a modified response.
async fn front(upstream: SocketAddr, spoil: Spoil) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(stream.read_u8().await?);
                }
                let response = spoil(&ask(upstream, &request).await);
                stream.write_all(&response).await?;
                // The connection stays open, so that only the response itself ends the call.
                stream.read_u8().await
            });
        }
    });
    address
}

async fn end_of(spoil: Spoil) -> (End, String) {
    let server = WireServer::start_plain().await;
    for plan in ["1", "2"] {
        server.add_plan(Plan::new(plan, "1004"));
    }
    let address = front(server.address(), spoil).await;
    // With the default number of attempts: the request must not be sent again.
    let client = builder(&server, &format!("http://{address}")).retry(Backoff::new()).build();
    let plans = DeliveryPlans::new(client.unwrap());
    let mut ends = Vec::new();
    for (n, plan) in ["1", "2"].into_iter().enumerate() {
        let ended = plans.terminate(&plan_id(plan)).await;
        assert_eq!(server.plan_state(plan), Some(PlanState::Terminated), "the call was executed");
        assert_eq!(server.executions(), n + 1, "and once");
        ends.push(match ended {
            Ok(_) => (None, String::new()),
            Err(error) => {
                let shown = format!("{} / {}", chain(&error), error.hint());
                assert_eq!(error.outcome(), Outcome::Unknown, "{shown}");
                assert!(!error.may_retry(), "{shown}");
                assert!(shown.len() < 2000, "{shown}");
                (Some((kind(&error), error.delivery())), shown)
            }
        });
    }
    let (second, first) = (ends.pop().unwrap(), ends.pop().unwrap());
    assert_eq!(first.0, second.0, "the same again: {} {}", first.1, second.1);
    first
}

#[tokio::test]
async fn each_ends_in_a_value_or_a_named_error() {
    const EXCHANGE: End = Some(("exchange", Delivery::Unknown));
    const UNEXPECTED: End = Some(("unexpected status", Delivery::Answered));
    const UNVERIFIED: End = Some(("unverified", Delivery::Unknown));
    const API: End = Some(("api", Delivery::Answered));
    let rows: [(&str, Spoil, End); 33] = [
        ("as it should be", |good| good.with(""), None),
        ("another protocol", |good| good.with_status("101 Switching Protocols"), API),
        (
            "another protocol, by name",
            |good| {
                let mut response = good.with("Connection: upgrade\r\nUpgrade: h2c\r\n");
                response.splice(9..23, *b"101 Switching Protocols");
                response
            },
            API,
        ),
        ("a status of three zeros", |good| good.with_status("000 Zero"), EXCHANGE),
        ("a status of 099", |good| good.with_status("099 Low"), EXCHANGE),
        ("a status of 600", |good| good.with_status("600 Odd"), API),
        ("a status of 777", |good| good.with_status("777 Odd"), API),
        ("a status of 999", |good| good.with_status("999 Odd"), API),
        ("a status of four digits", |good| good.with_status("1000 Odd"), EXCHANGE),
        ("a status of two digits", |good| good.with_status("20 Odd"), EXCHANGE),
        ("a status with a sign", |good| good.with_status("-20 Odd"), EXCHANGE),
        ("no reason", |good| good.with_status("204"), None),
        ("a length of 0", |good| good.with("Content-Length: 0\r\n"), None),
        ("a length for no body", |good| good.with("Content-Length: 5\r\n"), None),
        ("two lengths", |good| good.with("Content-Length: 0\r\nContent-Length: 5\r\n"), None),
        ("a length that is none", |good| good.with("Content-Length: -1\r\n"), None),
        (
            "a length with chunks",
            |good| {
                let mut response = good.with_status("200 OK");
                response.truncate(response.len() - 2);
                response.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
                response
            },
            UNEXPECTED,
        ),
        (
            "a length with chunks, and no body",
            |good| good.with("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
            None,
        ),
        (
            "a chunk that is none",
            |good| {
                let mut response = good.with("Transfer-Encoding: chunked\r\n");
                response.splice(9..23, *b"200 OK");
                response.extend_from_slice(b"zz\r\n");
                response
            },
            UNVERIFIED,
        ),
        (
            "a chunk of more than can be",
            |good| {
                let mut response = good.with("Transfer-Encoding: chunked\r\n");
                response.splice(9..23, *b"200 OK");
                response.extend_from_slice(b"ffffffffffffffffff\r\n");
                response
            },
            UNVERIFIED,
        ),
        ("a folded header", |good| good.with("X-Odd: a\r\n  b\r\n"), EXCHANGE),
        ("a header without a name", |good| good.with(": a\r\n"), EXCHANGE),
        ("a header without a colon", |good| good.with("X-Odd\r\n"), EXCHANGE),
        ("a blank before a colon", |good| good.with("X-Odd : a\r\n"), EXCHANGE),
        (
            "a header that is no text",
            |good| {
                let mut response = good.with("X-Odd: \r\n\r\n");
                let at = response.len() - 6;
                response.splice(at..at, *b"\xff\xfe");
                response.truncate(response.len() - 2);
                response
            },
            None,
        ),
        ("a header twice", |good| good.with("X-Odd: a\r\nX-Odd: b\r\n"), None),
        (
            "a type twice",
            |good| good.with("Content-Type: text/html\r\nContent-Type: a/b\r\n"),
            None,
        ),
        ("an id twice", |good| good.with("Request-ID: a\r\nRequest-ID: b\r\n"), None),
        (
            "two dates",
            |good| good.with("Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nDate: never\r\n"),
            None,
        ),
        (
            "a head of more headers than can be",
            |good| good.with(&"X-Odd: a\r\n".repeat(1000)),
            EXCHANGE,
        ),
        (
            "a head without an end",
            |good| good.with(&format!("X-Odd: {}\r\n", "a".repeat(4 << 20))),
            EXCHANGE,
        ),
        (
            "an interim response before it",
            |good| [b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec(), good.with("")].concat(),
            None,
        ),
        (
            "interim responses without an end",
            |good| [b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100_000), good.with("")].concat(),
            None,
        ),
    ];
    let mut wrong = Vec::new();
    for (what, spoil, expected) in rows {
        let (end, shown) = end_of(spoil).await;
        if end != expected {
            wrong.push(format!("{what}: {end:?} in place of {expected:?}: {shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
