//! What the gateway refuses, and what it says: driven by a client of a few lines, without the
//! transport.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::fmt::Write as _;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wxpay_auth::{
    Algorithm, Clock, Identity, Mchid, Nonce, NonceSource, PrivateKey, Signature, SystemClock,
    SystemNonce, Timestamp, authorization, request_message,
};
use wxpay_testing::{PlanState, Verdict, WireServer};

const PATH: &str = "/v3/marketing/partner/delivery-plan/delivery-plans";

/// A request before it is signed; tests change what they need.
struct Draft<'a> {
    method: &'a str,
    target: String,
    /// What is signed in place of the target.
    signed_target: Option<String>,
    body: &'a str,
    mchid: String,
    timestamp: Timestamp,
    nonce: Nonce,
    /// Replaces a part of the Authorization.
    spoil: Option<(&'a str, &'a str)>,
    headers: Vec<(&'a str, &'a str)>,
}

impl Draft<'_> {
    fn new() -> Self {
        Self {
            method: "POST",
            target: format!("{PATH}/12000/terminate"),
            signed_target: None,
            body: "",
            mchid: "1900007291".to_owned(),
            timestamp: SystemClock.now(),
            nonce: SystemNonce::new().nonce().unwrap(),
            spoil: None,
            headers: vec![
                ("Accept", "application/json"),
                ("Content-Type", "application/json"),
                ("User-Agent", "test"),
                ("Content-Length", "0"),
            ],
        }
    }

    /// Leaves a header out.
    fn without(name: &str) -> Self {
        let mut draft = Self::new();
        draft.headers.retain(|(n, _)| *n != name);
        draft
    }

    async fn send(self, server: &WireServer) -> Answer {
        let target = self.signed_target.as_ref().unwrap_or(&self.target);
        let nonce = self.nonce.as_str();
        let message =
            request_message(self.method, target, self.timestamp, nonce, self.body.as_bytes());
        let key = PrivateKey::from_pem(server.merchant_key_pem()).unwrap();
        let signature = Signature::new(server.serial_no(), key.sign(&message).unwrap());
        let identity = Identity::Merchant(Mchid::new(&self.mchid).unwrap());
        let algorithm = Algorithm::Sha256Rsa2048;
        let mut header =
            authorization(&identity, algorithm, &self.nonce, self.timestamp, &signature).unwrap();
        if let Some((from, to)) = self.spoil {
            assert!(header.contains(from), "{header}");
            header = header.replace(from, to);
        }
        let mut request = format!("{} {} HTTP/1.1\r\nHost: x\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            let _ = write!(request, "{name}: {value}\r\n");
        }
        let _ = write!(request, "Authorization: {header}\r\nConnection: close\r\n\r\n");
        request.push_str(self.body);

        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned(), message }
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
    /// What was signed here.
    message: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn is_signed(&self) -> bool {
        self.head.contains("wechatpay-signature: ")
    }
}

fn last_reason(server: &WireServer) -> String {
    match server.journal().last().unwrap().verdict() {
        Verdict::Refused(reason) => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_authentic_request_is_carried_out_and_its_answer_signed() {
    let server = WireServer::start_plain().await;
    let answer = Draft::new().send(&server).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    assert!(answer.is_signed());
    for header in
        ["request-id: ", "keep-alive: timeout=8", "wechatpay-serial: pub_key_id_", "date: "]
    {
        assert!(answer.head.contains(header), "{}", answer.head);
    }
    assert_eq!(server.plan_state("12000"), Some(PlanState::Terminated));
    assert_eq!(server.journal()[0].verdict(), &Verdict::Accepted);
    assert!(server.journal()[0].executed());
    assert_eq!(server.executions(), 1);

    // What happens to a plan that has ended, or is not there, is this gateway's choice.
    let again = Draft::new().send(&server).await;
    assert_eq!((again.status, again.json()["code"].as_str()), (400, Some("INVALID_REQUEST")));
    assert!(again.is_signed());
    let target = format!("{PATH}/99999/terminate");
    let unknown = Draft { target, ..Draft::new() }.send(&server).await;
    assert_eq!(
        (unknown.status, unknown.json()["code"].as_str()),
        (404, Some("RESOURCE_NOT_EXISTS"))
    );
    let unknown = Draft { target: "/v3/unknown".to_owned(), ..Draft::new() }.send(&server).await;
    assert_eq!((unknown.status, unknown.json()["code"].as_str()), (404, Some("NOT_FOUND")));
    assert_eq!(server.executions(), 1);
}

#[tokio::test]
async fn each_reason_is_a_sign_error_of_its_own() {
    let server = WireServer::start_plain().await;
    let old = Timestamp::from_unix_secs(SystemClock.now().as_unix_secs() - 301);
    let early = Timestamp::from_unix_secs(SystemClock.now().as_unix_secs() + 310);
    let other_target = Some(format!("{PATH}/12001/terminate"));
    let used = Nonce::new(&"a".repeat(32)).unwrap();
    assert_eq!(Draft { nonce: used, ..Draft::new() }.send(&server).await.status, 204);
    server.add_plan(wxpay_testing::Plan::new("12000", "1004"));
    for (draft, reason) in [
        (Draft { mchid: "1900000001".to_owned(), ..Draft::new() }, "mchid 1900000001 is not"),
        (Draft { spoil: Some(("serial_no=\"5", "serial_no=\"4")), ..Draft::new() }, "serial_no 4"),
        (Draft { timestamp: old, ..Draft::new() }, "timestamp is -30"),
        (Draft { timestamp: early, ..Draft::new() }, "timestamp is +3"),
        (Draft { signed_target: other_target, ..Draft::new() }, "the signature does not fit"),
        (
            Draft { spoil: Some(("nonce_str=\"", "nonce_str=\"-")), ..Draft::new() },
            "nonce_str is not",
        ),
        (Draft { nonce: used, ..Draft::new() }, "nonce_str was used before"),
        (Draft { spoil: Some(("WECHATPAY2-", "")), ..Draft::new() }, "the scheme is not"),
        (Draft { spoil: Some(("nonce_str", "nonce")), ..Draft::new() }, "unknown field"),
        (Draft { spoil: Some(("mchid=\"1900007291\",", "")), ..Draft::new() }, "lacks mchid"),
        (
            Draft { spoil: Some(("signature=\"", "signature=\"*")), ..Draft::new() },
            "malformed signature",
        ),
    ] {
        let answer = draft.send(&server).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (401, Some("SIGN_ERROR")));
        assert!(!answer.is_signed(), "by design");
        assert!(last_reason(&server).contains(reason), "{}", last_reason(&server));
        assert_eq!(server.plan_state("12000"), Some(PlanState::Delivering));
    }
}

#[tokio::test]
async fn a_sign_error_says_what_the_server_signed() {
    let server = WireServer::start_plain().await;
    let draft = || Draft { signed_target: Some("/v3/other".to_owned()), ..Draft::new() };
    let answer = draft().send(&server).await;
    let detail = &answer.json()["detail"];
    assert_eq!(detail["issue"], "sign not match");
    assert_eq!(
        (&detail["field"], &detail["location"]),
        (&"signature".into(), &"authorization".into())
    );
    let information = &detail["sign_information"];
    assert_eq!(
        (&information["method"], information["url"].as_str()),
        (&"POST".into(), Some(&*format!("{PATH}/12000/terminate")))
    );
    let theirs = information["truncated_sign_message"].as_str().unwrap();
    let ours = String::from_utf8(answer.message).unwrap();
    assert_eq!(theirs, ours.replace("/v3/other", &format!("{PATH}/12000/terminate")));
    assert_eq!(information["sign_message_length"], theirs.len());

    server.nest_detail();
    let answer = draft().send(&server).await;
    assert_eq!(answer.json()["detail"]["detail"]["issue"], "sign not match");

    // A longer body is cut to its first eight bytes, as in the real example.
    let body = r#"{"amount":{"total":1}}"#;
    let mut draft = Draft { body, ..draft() };
    draft.headers.retain(|(name, _)| *name != "Content-Length");
    draft.headers.push(("Content-Length", "22"));
    let answer = draft.send(&server).await;
    let information = &answer.json()["detail"]["sign_information"];
    let theirs = information["truncated_sign_message"].as_str().unwrap();
    assert!(theirs.ends_with("\n{\"amount\n"), "{theirs}");
    let whole = theirs.len() + body.len() - 8;
    assert_eq!(information["sign_message_length"], whole);
}

#[tokio::test]
async fn headers_that_front_servers_ask_for() {
    let server = WireServer::start_plain().await;
    let mut get = Draft::without("Content-Length");
    get.method = "GET";
    get.target = format!("{PATH}/1004/delivery-plans?page_size=2&offset=1");
    let list = get.send(&server).await;
    assert_eq!((list.status, list.json()["total_count"].as_u64()), (200, Some(3)));
    assert_eq!(list.json()["plan_list"][0]["plan_id"], "12001");

    let no_length = Draft::without("Content-Length").send(&server).await;
    assert_eq!(no_length.status, 411);
    assert!(no_length.body.starts_with("<html>") && !no_length.is_signed());
    for (name, reason) in [
        ("User-Agent", "User-Agent is not there exactly once"),
        ("Accept", "Accept is not there exactly once"),
        ("Content-Type", "Content-Type is not application/json"),
    ] {
        let answer = Draft::without(name).send(&server).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (400, Some("INVALID_REQUEST")));
        assert_eq!(last_reason(&server), reason);
    }
    assert_eq!(server.executions(), 0);
}

#[tokio::test]
async fn the_target_is_checked_byte_for_byte() {
    let server = WireServer::start_plain().await;
    for id in ["a b", "a/b", "."] {
        server.add_plan(wxpay_testing::Plan::new(id, "1004"));
    }
    // Encoded or not, dots or not: what is signed must be what stands in the request line.
    for (sent, signed, status) in [
        ("a%20b", "a%20b", 204),
        ("a%20b", "a+b", 401),
        ("a%2Fb", "a%2fb", 401),
        ("a%2Fb", "a%2Fb", 204),
        ("%2E", ".", 401),
        ("x/../12000", "12000", 401),
        ("x/../12000", "x/../12000", 404),
    ] {
        let (target, signed) =
            (format!("{PATH}/{sent}/terminate"), format!("{PATH}/{signed}/terminate"));
        let draft = Draft { target: target.clone(), signed_target: Some(signed), ..Draft::new() };
        assert_eq!(draft.send(&server).await.status, status, "{target}");
        assert_eq!(server.journal().last().unwrap().target(), target);
    }
    assert_eq!(server.plan_state("12000"), Some(PlanState::Delivering));
}

#[tokio::test]
async fn the_list_filters_and_counts() {
    let server = WireServer::start_plain().await;
    let list = |query: &str| {
        let mut draft = Draft::without("Content-Length");
        draft.method = "GET";
        draft.target = format!("{PATH}/1004/delivery-plans{query}");
        draft.send(&server)
    };
    let one = list("?plan_id=12002").await.json();
    assert_eq!(
        (&one["total_count"], &one["plan_list"][0]["plan_state"]),
        (&1.into(), &"CREATED".into())
    );
    let none = list("?plan_state=TERMINATED").await.json();
    assert_eq!(none["total_count"], 0);
    assert!(none.get("plan_list").is_none(), "it is left out when nothing matches");
    for odd in ["?page_size=51", "?page_size=0", "?offset=-1"] {
        assert_eq!(list(odd).await.status, 400, "{odd}");
    }
    assert!(server.move_plan("12002", PlanState::Delivering));
    assert!(!server.move_plan("12002", PlanState::Created), "nothing leads back");
    assert_eq!(list("?plan_state=DELIVERING").await.json()["total_count"], 2);
}
