//! Attempts against a scripted server.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use wxpay_auth::{Algorithm, FileKeySigner, KeyRing, Mchid, async_trait};

use super::*;
use crate::client::Client;
use crate::client::builder::ClientBuilder;
use crate::connection::base_url::BaseUrl;
use crate::connection::proxy::Proxy;
use crate::message::signed_response::{self, SERIAL, key_ring};
use crate::message::target::Target;
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
