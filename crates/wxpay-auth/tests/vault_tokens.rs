//! How `VaultTransit` deals with logins and tokens, on a scripted service. What the real one does is
//! tested in `tests/kms_vault_tokens.rs` of the workspace.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};
use wxpay_auth::kms::{
    Endpoint, KmsBackend, KmsError, KmsKey, Secret, VaultAuth, VaultTransit, VaultTransitBuilder,
};
use wxpay_auth::{PublicKey, SignErrorKind};

const PUBLIC_KEY: &str = include_str!("../testdata/keys/wechat_pay_public_key.pem");

/// A service that gives out tokens with numbers, of which the last is valid.
#[derive(Clone, Default)]
struct Script(Arc<State>);

#[derive(Default)]
struct State {
    logins: AtomicUsize,
    renewals: AtomicUsize,
    valid: Mutex<String>,
    lease: AtomicU64,
    login_refused: AtomicBool,
    renewal_fails: AtomicBool,
    signing_refused: AtomicBool,
}

fn token(number: usize) -> String {
    format!("token-{number}")
}

impl Script {
    fn login(&self) -> ResponseTemplate {
        let number = self.0.logins.fetch_add(1, Ordering::SeqCst) + 1;
        // Others get a chance to log in as well.
        let delay = Duration::from_millis(50);
        if self.0.login_refused.load(Ordering::SeqCst) {
            let errors = json!({ "errors": ["invalid secret ID hunter2"] });
            return ResponseTemplate::new(400).set_body_json(errors).set_delay(delay);
        }
        *self.0.valid.lock().unwrap() = token(number);
        ResponseTemplate::new(200).set_body_json(self.auth(number)).set_delay(delay)
    }

    fn auth(&self, number: usize) -> Value {
        let lease_duration = self.0.lease.load(Ordering::SeqCst);
        let client_token = token(number);
        json!({ "data": null, "warnings": null, "auth": {
            "client_token": client_token, "lease_duration": lease_duration, "renewable": true,
            "mfa_requirement": null,
        }})
    }

    /// Takes the valid token away, as revoking it does.
    fn revoke(&self) {
        "nobody's".clone_into(&mut self.0.valid.lock().unwrap());
    }

    fn logins(&self) -> usize {
        self.0.logins.load(Ordering::SeqCst)
    }

    fn renewals(&self) -> usize {
        self.0.renewals.load(Ordering::SeqCst)
    }
}

impl Respond for Script {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let path = request.url.path();
        if path.ends_with("/login") {
            return self.login();
        }
        let refused = || {
            let errors = json!({ "errors": ["permission denied"] });
            ResponseTemplate::new(403).set_body_json(errors)
        };
        if request.headers["x-vault-token"] != *self.0.valid.lock().unwrap() {
            return refused();
        }
        if path.ends_with("/renew-self") {
            self.0.renewals.fetch_add(1, Ordering::SeqCst);
            if self.0.renewal_fails.load(Ordering::SeqCst) {
                return ResponseTemplate::new(503).set_body_json(json!({ "errors": ["sealed"] }));
            }
            return ResponseTemplate::new(200).set_body_json(self.auth(self.logins()));
        }
        if path.contains("/sign/") {
            if self.0.signing_refused.load(Ordering::SeqCst) {
                return refused();
            }
            let data = json!({ "data": { "signature": "vault:v1:AQID", "key_version": 1 } });
            return ResponseTemplate::new(200).set_body_json(data);
        }
        let keys = json!({ "1": { "public_key": PUBLIC_KEY } });
        ResponseTemplate::new(200).set_body_json(json!({ "data": {
            "type": "rsa-2048", "latest_version": 1, "supports_signing": true, "keys": keys,
        }}))
    }
}

async fn service(lease: u64) -> (MockServer, Script) {
    let (server, script) = (MockServer::start().await, Script::default());
    script.0.lease.store(lease, Ordering::SeqCst);
    Mock::given(any()).respond_with(script.clone()).mount(&server).await;
    (server, script)
}

fn builder(server: &MockServer) -> VaultTransitBuilder {
    VaultTransit::builder(Endpoint::new(server.uri()).unwrap(), "merchant")
        .auth(VaultAuth::app_role("role", Secret::new("hunter2")))
}

fn key() -> KmsKey {
    KmsKey::new(PublicKey::from_pem(PUBLIC_KEY).unwrap()).with_version("1")
}

async fn sign(vault: &VaultTransit) -> Result<Vec<u8>, KmsError> {
    vault.sign_sha256(&key(), &[7; 32]).await
}

/// Signs many times at once, and returns how it ended.
async fn sign_at_once(vault: &Arc<VaultTransit>) -> Vec<Result<Vec<u8>, KmsError>> {
    let signing = (0..20).map(|_| {
        let vault = Arc::clone(vault);
        tokio::spawn(async move { sign(&vault).await })
    });
    let mut ended = Vec::new();
    for signing in signing.collect::<Vec<_>>() {
        ended.push(signing.await.unwrap());
    }
    ended
}

#[tokio::test]
async fn what_is_sent_is_what_the_service_documents() {
    let (server, _) = service(3600).await;
    let vault = builder(&server).mount("eu/tran sit").namespace("team-a").build().unwrap();
    vault.public_key().await.unwrap();
    sign(&vault).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let [login, read, sign] = &requests[..] else { panic!("{} requests", requests.len()) };
    for (request, method, path, token) in [
        (login, "POST", "/v1/auth/approle/login", None),
        (read, "GET", "/v1/eu/tran%20sit/keys/merchant", Some("token-1")),
        (sign, "POST", "/v1/eu/tran%20sit/sign/merchant/sha2-256", Some("token-1")),
    ] {
        assert_eq!((request.method.as_str(), request.url.path()), (method, path));
        assert_eq!(request.headers["x-vault-request"], "true");
        assert_eq!(request.headers["x-vault-namespace"], "team-a");
        let sent = request.headers.get("x-vault-token").map(|value| value.to_str().unwrap());
        assert_eq!(sent, token);
    }
    assert_eq!(
        login.body_json::<Value>().unwrap(),
        json!({ "role_id": "role", "secret_id": "hunter2" })
    );
    assert!(read.body.is_empty());
    assert_eq!(
        sign.body_json::<Value>().unwrap(),
        json!({
            "input": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
            "prehashed": true,
            "signature_algorithm": "pkcs1v15",
            "key_version": 1,
        })
    );
}

#[tokio::test]
async fn many_callers_lead_to_one_login() {
    let (server, script) = service(3600).await;
    let vault = Arc::new(builder(&server).build().unwrap());
    assert!(sign_at_once(&vault).await.iter().all(Result::is_ok));
    assert_eq!(script.logins(), 1);
    script.revoke();
    assert!(sign_at_once(&vault).await.iter().all(Result::is_ok));
    assert_eq!(script.logins(), 2);
}

#[tokio::test]
async fn a_login_that_is_refused_is_not_hammered() {
    let (server, script) = service(3600).await;
    script.0.login_refused.store(true, Ordering::SeqCst);
    let vault = Arc::new(builder(&server).build().unwrap());
    for _ in 0..2 {
        for ended in sign_at_once(&vault).await {
            let error = ended.unwrap_err();
            assert_eq!(error.kind(), SignErrorKind::PermissionDenied);
            // The service says it; this program does not.
            assert_eq!(error.to_string(), "vault answered 400: invalid secret ID (left out)");
        }
    }
    assert_eq!(script.logins(), 1);
}

#[tokio::test]
async fn what_a_new_token_may_not_do_the_next_one_may_not_either() {
    let (server, script) = service(3600).await;
    let vault = Arc::new(builder(&server).build().unwrap());
    vault.public_key().await.unwrap();
    script.0.signing_refused.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        for ended in sign_at_once(&vault).await {
            assert_eq!(ended.unwrap_err().kind(), SignErrorKind::PermissionDenied);
        }
        // The first has proven good; the second has not.
        assert_eq!(script.logins(), 2);
    }
    script.0.signing_refused.store(false, Ordering::SeqCst);
    sign(&vault).await.unwrap();
    assert_eq!(script.logins(), 2);
}

#[tokio::test]
async fn the_old_token_serves_while_it_cannot_be_renewed() {
    let (server, script) = service(3).await;
    script.0.renewal_fails.store(true, Ordering::SeqCst);
    let vault = builder(&server).build().unwrap();
    while script.logins() < 2 {
        sign(&vault).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(script.renewals() > 1);
}

#[tokio::test]
async fn a_token_is_renewed_while_nothing_is_signed_until_the_end() {
    let (server, script) = service(1).await;
    let vault = builder(&server).build().unwrap();
    sign(&vault).await.unwrap();
    while script.renewals() < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(script.logins(), 1);
    drop(vault);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let renewals = script.renewals();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(script.renewals(), renewals);
}

#[test]
fn renewing_goes_on_on_another_runtime() {
    let service_runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, script) = service_runtime.block_on(service(1));
    let vault = builder(&server).build().unwrap();
    for _ in 0..2 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            sign(&vault).await.unwrap();
            let before = script.renewals();
            while script.renewals() < before + 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
}

#[tokio::test]
async fn who_gives_up_during_a_login_holds_nobody_up() {
    let (server, script) = service(3600).await;
    let vault = builder(&server).build().unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(10), sign(&vault)).await;
    assert!(given_up.is_err());
    sign(&vault).await.unwrap();
    assert!(script.logins() <= 2);
}

#[tokio::test]
async fn a_login_without_a_token_is_none() {
    for (answer, says) in [
        (
            json!({ "auth": null, "wrap_info": { "token": "hunter2" } }),
            "without what was asked for",
        ),
        (
            json!({ "auth": { "client_token": "", "lease_duration": 0, "renewable": false,
                "mfa_requirement": { "mfa_request_id": "d0c9" } } }),
            "second factor",
        ),
        (
            json!({ "auth": { "client_token": "", "lease_duration": 0, "renewable": false } }),
            "gave no token",
        ),
        (json!({ "errors": ["no"] }), "asked for: no"),
    ] {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(200).set_body_json(answer);
        Mock::given(any()).respond_with(answer).mount(&server).await;
        let error = sign(&builder(&server).build().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Configuration);
        assert!(error.to_string().contains(says), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
