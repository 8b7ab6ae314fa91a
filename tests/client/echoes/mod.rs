//! Servers that repeat what they received, at every position of a response: none of it is shown.

mod server;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use wxpay_auth::{Clock, SystemClock};
use wxpay_testing::WireServer;
use wxpay_tests::log::Log;
use wxpay_tests::{TestClient, builder, chain, own_process};
use wxpay_transport::{
    Audit, AuditRecord, Error, NoRetry, Outcome, Replay, Request, Target, Transport,
};

use self::server::{ECHO, EchoServer, Heard, Manner};

const SECRET: &str = "a-name-that-nobody-may-see";
/// The length of a piece of the request that must not be shown.
const PIECE: usize = 16;

/// The parts of a request that are repeated.
const ECHOES: [fn(&Heard) -> String; 6] = [
    |heard| heard.authorization.clone(),
    |heard| heard.signature().to_owned(),
    |heard| heard.signature().bytes().map(|b| format!("%{b:02X}")).collect(),
    |heard| heard.signature()[100..130].to_owned(),
    |heard| heard.body.clone(),
    |heard| format!("{} {}", heard.authorization, heard.body),
];

/// Responses with this status, with the echo at each position.
fn responses(status: u16) -> Vec<String> {
    let json = |body: &str| {
        format!("HTTP/1.1 {status} No\nContent-Type: application/json\nRequest-ID: 08F7\n\n{body}")
    };
    let mut responses = vec![format!("HTTP/1.1 {status} {ECHO}\nRequest-ID: 08F7\n\n")];
    for name in [
        "Request-ID",
        "Date",
        "Retry-After",
        "Content-Type",
        "Content-Encoding",
        "Location",
        "Server",
        "X-Anything",
        "Wechatpay-Timestamp",
        "Wechatpay-Nonce",
        "Wechatpay-Signature",
        "Wechatpay-Signature-Type",
    ] {
        let body = r#"{"code":"NO","message":"no"}"#;
        responses.push(format!("HTTP/1.1 {status} No\n{name}: {ECHO}\n\n{body}"));
    }
    // With all other signature headers, so that the signature is checked.
    let now = SystemClock.now();
    for (serial, signature) in [
        (ECHO.to_owned(), "AAAA".to_owned()),
        (format!("PUB_KEY_ID_{ECHO}"), "AAAA".to_owned()),
        (ECHO.to_owned(), "WECHATPAY/SIGNTEST/AAAA".to_owned()),
    ] {
        responses.push(format!(
            "HTTP/1.1 {status} No\nWechatpay-Timestamp: {now}\nWechatpay-Nonce: n\n\
             Wechatpay-Serial: {serial}\nWechatpay-Signature: {signature}\n\n{{}}"
        ));
    }
    for member in ["code", "message", "detail", "anything"] {
        responses.push(json(&format!(r#"{{"code":"NO","{member}":"{ECHO}"}}"#)));
    }
    for member in ["field", "issue", "location", "value"] {
        responses.push(json(&format!(r#"{{"code":"NO","detail":{{"{member}":"{ECHO}"}}}}"#)));
    }
    responses.push(json(&format!(r#"{{"detail":{{"detail":{{"issue":"{ECHO}"}}}}}}"#)));
    for message in [
        format!("{ECHO}\\n/v3/secret\\n1\\n2\\n\\n"),
        format!("POST\\n{ECHO}\\n1\\n2\\n\\n"),
        format!("POST\\n/v3/secret\\n{ECHO}\\n2\\n\\n"),
        format!("POST\\n/v3/secret\\n1\\n{ECHO}\\n\\n"),
        format!("POST\\n/v3/secret\\n1\\n2\\n{ECHO}\\n"),
    ] {
        let information = format!(r#"{{"truncated_sign_message":"{message}"}}"#);
        let detail = format!(r#"{{"sign_information":{information}}}"#);
        responses.push(json(&format!(r#"{{"code":"SIGN_ERROR","detail":{detail}}}"#)));
    }
    for body in ["<html>", "no: ", "[1, "] {
        responses.push(format!("HTTP/1.1 {status} No\n\n{body}{ECHO}"));
    }
    responses
}

/// Keeps the ids that are passed to the audit.
#[derive(Debug, Default)]
struct Ids(Mutex<String>);

impl Audit for Ids {
    fn record(&self, record: &AuditRecord<'_>) {
        writeln!(self.0.lock().unwrap(), "{:?}", record.request_id).unwrap();
    }
}

fn request() -> Request {
    Request::post("echo", Target::new("/v3/secret").unwrap())
        .with_json(&serde_json::json!({ "x": SECRET, "more": [SECRET, 1] }))
        .unwrap()
        .with_replay(Replay::Never)
}

fn shown(error: &Error) -> String {
    let api = match error {
        Error::Api(e) => format!("{:?} {:?} {:?}", e.code(), e.message(), e.sign_diagnosis()),
        _ => String::new(),
    };
    format!("{error} {error:?} {error:#?} {} {} {api}", error.hint(), chain(error))
}

/// Checks that the text contains nothing of the request, ignoring case.
fn assert_nothing_of(heard: &Heard, text: &str, place: &str) {
    let text = text.to_lowercase();
    for secret in [&heard.authorization, SECRET] {
        let secret: Vec<char> = secret.to_lowercase().chars().collect();
        for piece in secret.windows(PIECE) {
            let piece: String = piece.iter().collect();
            assert!(!text.contains(&piece), "{piece:?} after {place:?}: {text}");
        }
    }
    let signature = heard.signature().bytes().take(8).map(|b| format!("%{b:02x}"));
    assert!(!text.contains(&signature.collect::<String>()), "after {place:?}: {text}");
}

fn client(server: &EchoServer, keys: &WireServer, ids: &Arc<Ids>) -> TestClient {
    builder(keys, &server.url).retry(NoRetry).audit(Arc::clone(ids)).build().unwrap()
}

#[tokio::test]
async fn nothing_of_what_was_sent_is_shown_when_it_comes_back() {
    own_process!();
    let (log, ids) = (Log::of_process(), Arc::<Ids>::default());
    let keys = WireServer::start_plain().await;
    let mut logged = 0;
    let mut assert_unseen = |heard: &Heard, place: &str| {
        let (text, ids) = (log.text(), std::mem::take(&mut *ids.0.lock().unwrap()));
        assert_nothing_of(heard, &text[logged..], place);
        assert_nothing_of(heard, &ids, place);
        logged = text.len();
    };

    let server = EchoServer::start(None).await;
    let sender = client(&server, &keys, &ids);
    let mut answered = 0;
    for status in [200, 401, 404, 500] {
        for response in responses(status) {
            for echo in ECHOES {
                *server.manner.lock().unwrap() = Manner { response: response.clone(), echo };
                let error = sender.send(request()).await.unwrap_err();
                let heard = server.heard.lock().unwrap().clone();
                assert!(heard.body.contains(SECRET) && heard.signature().len() == 344);
                assert_nothing_of(&heard, &shown(&error), &response);
                assert_unseen(&heard, &response);
                answered += usize::from(error.status().is_some());
            }
        }
    }
    assert!(answered > 500, "only {answered} were valid responses");

    // The signature of a success covers no header.
    let behind = keys.base_url().trim_start_matches("http://").to_owned();
    let server = EchoServer::start(Some(behind)).await;
    let sender = client(&server, &keys, &ids);
    for echo in ECHOES {
        server.manner.lock().unwrap().echo = echo;
        let list = "/v3/marketing/partner/delivery-plan/delivery-plans/1004/delivery-plans";
        let list = Target::new(list).unwrap().query("plan_id", SECRET).unwrap();
        let response = sender.send(Request::get("echo", list)).await.unwrap();
        let heard = server.heard.lock().unwrap().clone();
        assert!(response.request_id().is_some());
        assert_nothing_of(&heard, &format!("{response:?} {response:#?}"), "a success");
        assert_unseen(&heard, "a success");

        let error = sender.send(request()).await.unwrap_err();
        assert_eq!((error.status().unwrap().as_u16(), error.outcome()), (404, Outcome::Rejected));
        let heard = server.heard.lock().unwrap().clone();
        assert_nothing_of(&heard, &shown(&error), "a signed refusal");
        assert_unseen(&heard, "a signed refusal");
    }
    assert!(log.text().contains("request_id"), "the log contains responses");
}
