//! Requests of `VaultTransit` that others must approve, on a scripted service that loses responses.
//! The real service is tested in `tests/kms/vault_approval.rs` of the workspace.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wxpay_auth_core::{PublicKey, SignErrorKind};
use wxpay_auth_kms::{Endpoint, KmsBackend, KmsError, KmsKey, Secret, VaultAuth, VaultTransit};

const PUBLIC_KEY: &str = include_str!("../../testdata/keys/wechat_pay_public_key.pem");

/// A service whose signatures others must approve. By default it responds like OpenBao.
#[derive(Clone, Default)]
struct Service(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// A result can be fetched once, as documented.
    single_use: bool,
    /// The reply to a pending request differs from that to an unknown one, as in Vault.
    says_further: bool,
    /// The policy allows looking up the state of a request.
    may_ask: bool,
    /// The lookup of the state fails for now.
    is_away: bool,
    /// The request is approved just before its state is looked up.
    approves: bool,
    /// The response with the next result is lost.
    breaks: bool,
    ttl: u64,
    requests: Vec<Asked>,
    unwrapped: usize,
}

#[derive(Default, PartialEq, Clone, Copy)]
enum Asked {
    #[default]
    Waiting,
    Approved,
    /// Fetched, or revoked.
    Gone,
    /// The token that made the request is revoked.
    Orphaned,
}

const UNKNOWN: &str = "wrapping token is not valid or does not exist";

fn refused(status: u16, said: &str) -> (u16, Value) {
    (status, json!({ "errors": [said] }))
}

impl State {
    /// Responds to a request; `None` closes the connection without a response.
    fn response(&mut self, path: &str, token: &str, body: &Value) -> Option<(u16, Value)> {
        Some(match path {
            "/v1/transit/sign/merchant/sha2-256" => self.hold(),
            "/v1/sys/wrapping/unwrap" => return self.unwrap(token),
            "/v1/sys/control-group/request" => self.look(token, body),
            _ => refused(403, "permission denied"),
        })
    }

    fn hold(&mut self) -> (u16, Value) {
        self.requests.push(Asked::Waiting);
        let number = self.requests.len() - 1;
        let (token, accessor) = (format!("s.{number}"), format!("accessor-{number}"));
        let wrap_info = json!({ "token": token, "accessor": accessor, "ttl": self.ttl });
        (200, json!({ "data": null, "warnings": null, "wrap_info": wrap_info }))
    }

    fn unwrap(&mut self, token: &str) -> Option<(u16, Value)> {
        let number: usize = token.strip_prefix("s.")?.parse().ok()?;
        Some(match self.requests[number] {
            Asked::Waiting if self.says_further => refused(403, "Request needs further approval"),
            Asked::Waiting | Asked::Gone => refused(400, UNKNOWN),
            Asked::Orphaned => refused(403, "permission denied"),
            Asked::Approved => {
                self.unwrapped += 1;
                if self.single_use {
                    self.requests[number] = Asked::Gone;
                }
                if std::mem::take(&mut self.breaks) {
                    return None;
                }
                let data = json!({ "key_version": 1, "signature": "vault:v1:AQID" });
                (200, json!({ "data": data, "warnings": null, "wrap_info": null }))
            }
        })
    }

    fn look(&mut self, token: &str, body: &Value) -> (u16, Value) {
        assert_eq!(token, "hunter2", "no other token is asked with: it would be used up");
        if self.is_away {
            return refused(503, "no active node");
        }
        if !self.may_ask {
            return refused(403, "1 error occurred:\n\t* permission denied\n\n");
        }
        let accessor = body["accessor"].as_str().unwrap().strip_prefix("accessor-").unwrap();
        let asked = &mut self.requests[accessor.parse::<usize>().unwrap()];
        if self.approves {
            *asked = Asked::Approved;
        }
        match *asked {
            Asked::Gone => refused(400, "1 error occurred:\n\t* invalid accessor\n\n"),
            asked => {
                let data = json!({ "approved": asked != Asked::Waiting, "authorizations": [] });
                (200, json!({ "data": data, "wrap_info": null }))
            }
        }
    }
}

impl Service {
    fn new(settings: impl FnOnce(&mut State)) -> Self {
        let mut state = State { ttl: 3600, ..State::default() };
        settings(&mut state);
        Self(Arc::new(Mutex::new(state)))
    }

    async fn start(&self) -> VaultTransit {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let service = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(service.clone().serve(stream));
            }
        });
        VaultTransit::builder(Endpoint::new(&endpoint).unwrap(), "merchant")
            .auth(VaultAuth::token(Secret::new("hunter2")))
            .build()
            .unwrap()
    }

    /// Serves one request.
    async fn serve(self, mut stream: TcpStream) {
        let mut read = Vec::new();
        let (head, length) = loop {
            let mut some = [0; 4096];
            let count = stream.read(&mut some).await.unwrap();
            if count == 0 {
                return;
            }
            read.extend_from_slice(&some[..count]);
            let text = String::from_utf8(read.clone()).unwrap();
            let Some(end) = text.find("\r\n\r\n") else { continue };
            let length = header(&text[..end], "content-length").map_or(0, |n| n.parse().unwrap());
            if read.len() >= end + 4 + length {
                break (text[..end].to_owned(), length);
            }
        };
        let body = serde_json::from_slice(&read[read.len() - length..]).unwrap_or(Value::Null);
        let path = head.split(' ').nth(1).unwrap();
        let token = header(&head, "x-vault-token").unwrap();
        let response = self.0.lock().unwrap().response(path, token, &body);
        let Some((status, body)) = response else { return };
        let body = body.to_string();
        let response = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(response.as_bytes()).await.unwrap();
    }

    fn set(&self, number: usize, asked: Asked) {
        self.0.lock().unwrap().requests[number] = asked;
    }

    fn break_next(&self) {
        self.0.lock().unwrap().breaks = true;
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().requests.len()
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

async fn sign(vault: &VaultTransit) -> Result<Vec<u8>, KmsError> {
    let key = KmsKey::new(PublicKey::from_pem(PUBLIC_KEY).unwrap()).with_version("1");
    vault.sign_sha256(&key, &[7; 32]).await
}

#[track_caller]
fn assert_pending(signed: Result<Vec<u8>, KmsError>, accessor: &str) -> KmsError {
    let error = signed.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::ApprovalPending, "{error}");
    assert_eq!(error.approval_id(), Some(accessor), "{error}");
    error
}

/// The error says so, and the next signature makes a new request.
#[track_caller]
fn assert_lost(signed: Result<Vec<u8>, KmsError>, accessor: &str) {
    let error = signed.unwrap_err();
    assert_eq!(error.kind(), SignErrorKind::Other, "{error}");
    assert!(error.to_string().contains("lost"), "{error}");
    assert_eq!(error.approval_id(), Some(accessor), "{error}");
    assert!(error.hint().contains("sign the same message again"), "{}", error.hint());
}

/// The connection breaks after the result was fetched, and the result can be fetched only once.
#[tokio::test]
async fn a_result_that_was_lost_on_the_way_is_not_pending_for_ever() {
    for (says_further, may_ask, polled) in
        [(true, false, false), (true, false, true), (false, true, false), (false, true, true)]
            .into_iter()
            .chain([(true, true, true), (false, false, false)])
    {
        let service = Service::new(|state| {
            (state.single_use, state.says_further, state.may_ask) = (true, says_further, may_ask);
        });
        let vault = service.start().await;
        assert_pending(sign(&vault).await, "accessor-0");
        if polled {
            assert_pending(sign(&vault).await, "accessor-0");
        }
        service.set(0, Asked::Approved);
        service.break_next();
        assert_eq!(sign(&vault).await.unwrap_err().kind(), SignErrorKind::Unavailable);
        assert_lost(sign(&vault).await, "accessor-0");
        assert_pending(sign(&vault).await, "accessor-1");
        service.set(1, Asked::Approved);
        assert_eq!(sign(&vault).await.unwrap(), [1, 2, 3]);
        assert_eq!(service.asked(), 2);
    }
}

/// The reply is ambiguous and the lookup is not allowed, so the error must leave it open.
#[tokio::test]
async fn a_result_that_may_have_been_lost_is_said_to_be_in_doubt() {
    let service = Service::new(|state| state.single_use = true);
    let vault = service.start().await;
    assert_pending(sign(&vault).await, "accessor-0");
    let waiting = assert_pending(sign(&vault).await, "accessor-0");
    assert!(!waiting.to_string().contains("lost"), "{waiting}");
    service.set(0, Asked::Approved);
    service.break_next();
    assert_eq!(sign(&vault).await.unwrap_err().kind(), SignErrorKind::Unavailable);
    for _ in 0..2 {
        let doubted = assert_pending(sign(&vault).await, "accessor-0");
        assert!(doubted.to_string().contains("lost"), "{doubted}");
        assert!(doubted.hint().contains("sys/control-group/request"), "{}", doubted.hint());
    }
    // Once the lookup is allowed, the error is definite.
    service.0.lock().unwrap().may_ask = true;
    assert_lost(sign(&vault).await, "accessor-0");
}

/// The lookup fails for now, which says nothing about the request.
#[tokio::test]
async fn nothing_is_lost_while_the_service_is_away() {
    let service = Service::new(|state| state.may_ask = true);
    let vault = service.start().await;
    assert_pending(sign(&vault).await, "accessor-0");
    service.set(0, Asked::Approved);
    service.break_next();
    assert_eq!(sign(&vault).await.unwrap_err().kind(), SignErrorKind::Unavailable);
    service.set(0, Asked::Waiting);
    service.0.lock().unwrap().is_away = true;
    assert_eq!(sign(&vault).await.unwrap_err().kind(), SignErrorKind::Unavailable);
    service.0.lock().unwrap().is_away = false;
    assert_pending(sign(&vault).await, "accessor-0");
    service.set(0, Asked::Approved);
    assert_eq!(sign(&vault).await.unwrap(), [1, 2, 3]);
}

/// The response to the fetch arrived, although the lookup after it failed.
#[tokio::test]
async fn what_waits_is_not_taken_for_lost_when_asking_how_it_stands_fails() {
    let service = Service::new(|state| state.is_away = true);
    let vault = service.start().await;
    assert_pending(sign(&vault).await, "accessor-0");
    assert_eq!(sign(&vault).await.unwrap_err().kind(), SignErrorKind::Unavailable);
    service.0.lock().unwrap().is_away = false;
    let waiting = assert_pending(sign(&vault).await, "accessor-0");
    assert!(!waiting.to_string().contains("lost"), "{waiting}");
    service.set(0, Asked::Approved);
    assert_eq!(sign(&vault).await.unwrap(), [1, 2, 3]);
    assert_eq!(service.asked(), 1);
}

/// If a result can be fetched again, it is.
#[tokio::test]
async fn a_result_that_can_be_had_again_is_not_lost() {
    for (says_further, may_ask) in [(false, false), (false, true), (true, false)] {
        let service = Service::new(|state| {
            (state.says_further, state.may_ask) = (says_further, may_ask);
        });
        let vault = service.start().await;
        assert_pending(sign(&vault).await, "accessor-0");
        service.set(0, Asked::Approved);
        service.break_next();
        assert_eq!(sign(&vault).await.unwrap_err().kind(), SignErrorKind::Unavailable);
        assert_eq!(sign(&vault).await.unwrap(), [1, 2, 3]);
        assert_eq!(service.asked(), 1);
    }
}

/// Revoked, or lost in a restart, without an approval.
#[tokio::test]
async fn a_request_that_the_service_has_lost_is_told_where_it_can_be() {
    for (says_further, may_ask, told) in
        [(true, false, true), (false, true, true), (false, false, false)]
    {
        let service = Service::new(|state| {
            (state.says_further, state.may_ask) = (says_further, may_ask);
        });
        let vault = service.start().await;
        assert_pending(sign(&vault).await, "accessor-0");
        assert_pending(sign(&vault).await, "accessor-0");
        service.set(0, Asked::Gone);
        if told {
            assert_lost(sign(&vault).await, "accessor-0");
            assert_pending(sign(&vault).await, "accessor-1");
        } else {
            let error = assert_pending(sign(&vault).await, "accessor-0");
            assert!(error.hint().contains("sys/control-group/request"), "{}", error.hint());
        }
    }
}

#[tokio::test]
async fn a_request_ends_with_the_token_that_made_it() {
    let service = Service::new(|_| {});
    let vault = service.start().await;
    assert_pending(sign(&vault).await, "accessor-0");
    service.set(0, Asked::Orphaned);
    assert_lost(sign(&vault).await, "accessor-0");
    assert_pending(sign(&vault).await, "accessor-1");
}

/// Approved between the fetch and the lookup of the state.
#[tokio::test]
async fn what_is_approved_meanwhile_is_fetched() {
    let service = Service::new(|state| {
        (state.single_use, state.may_ask, state.approves) = (true, true, true);
    });
    let vault = service.start().await;
    assert_pending(sign(&vault).await, "accessor-0");
    assert_eq!(sign(&vault).await.unwrap(), [1, 2, 3]);
}

#[tokio::test]
async fn the_same_message_at_once_is_one_request() {
    for single_use in [true, false] {
        let service = Service::new(|state| state.single_use = single_use);
        let vault = service.start().await;
        let other = vault.clone();
        let (one, two) = tokio::join!(sign(&vault), sign(&other));
        assert_pending(one, "accessor-0");
        assert_pending(two, "accessor-0");
        service.set(0, Asked::Approved);
        let (one, two) = tokio::join!(sign(&vault), sign(&other));
        assert_eq!((one.unwrap(), two.unwrap()), (vec![1, 2, 3], vec![1, 2, 3]));
        assert_eq!((service.asked(), service.0.lock().unwrap().unwrapped), (1, 1));
    }
}

/// A TTL of 0 means that the service gave none.
#[tokio::test]
async fn a_request_without_a_time_is_kept() {
    let service = Service::new(|state| state.ttl = 0);
    let vault = service.start().await;
    for _ in 0..3 {
        assert_pending(sign(&vault).await, "accessor-0");
    }
    service.set(0, Asked::Approved);
    assert_eq!(sign(&vault).await.unwrap(), [1, 2, 3]);
}
