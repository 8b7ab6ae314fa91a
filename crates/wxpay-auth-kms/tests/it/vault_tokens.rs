//! Logins and tokens of `VaultTransit`, on a scripted service. The real service is tested in
//! `tests/kms/vault_tokens.rs` of the workspace.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};
use wxpay_auth_core::{PublicKey, SignErrorKind};
use wxpay_auth_kms::{
    Endpoint, KmsBackend, KmsError, KmsKey, Secret, VaultAuth, VaultTransit, VaultTransitBuilder,
};

use crate::panicking::{panic_twice, with_events};

const PUBLIC_KEY: &str = include_str!("../../testdata/keys/wechat_pay_public_key.pem");

/// A service that issues numbered tokens, of which only the last one is valid.
#[derive(Clone, Default)]
struct Script(Arc<State>);

#[derive(Default)]
struct State {
    logins: AtomicUsize,
    renewals: AtomicUsize,
    lookups: AtomicUsize,
    valid: Mutex<String>,
    lease: AtomicU64,
    login_refused: AtomicBool,
    renewal_fails: AtomicBool,
    renewal_refused: AtomicBool,
    login_delay: AtomicU64,
    signing_refused: AtomicBool,
}

fn token(number: usize) -> String {
    format!("token-{number}")
}

impl Script {
    fn login(&self) -> ResponseTemplate {
        let number = self.0.logins.fetch_add(1, Ordering::SeqCst) + 1;
        // Gives other callers a chance to log in as well.
        let delay = Duration::from_millis(self.0.login_delay.load(Ordering::SeqCst).max(50));
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

    /// Invalidates the token, as revoking it does.
    fn revoke(&self) {
        "nobody's".clone_into(&mut self.0.valid.lock().unwrap());
    }

    fn logins(&self) -> usize {
        self.0.logins.load(Ordering::SeqCst)
    }

    fn renewals(&self) -> usize {
        self.0.renewals.load(Ordering::SeqCst)
    }

    fn lookups(&self) -> usize {
        self.0.lookups.load(Ordering::SeqCst)
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
            if self.0.renewal_refused.load(Ordering::SeqCst) {
                return refused();
            }
            return ResponseTemplate::new(200).set_body_json(self.auth(self.logins()));
        }
        if path.ends_with("/lookup-self") {
            self.0.lookups.fetch_add(1, Ordering::SeqCst);
            let ttl = self.0.lease.load(Ordering::SeqCst);
            let data = json!({ "data": { "ttl": ttl, "renewable": true } });
            return ResponseTemplate::new(200).set_body_json(data);
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

/// Stops the clock of the runtime, except where a test advances it, until the guard is dropped.
/// Paused time would otherwise run ahead of the responses of the service.
fn stopped_clock() -> mpsc::Sender<()> {
    tokio::time::pause();
    let (held, blocked) = mpsc::channel();
    // Paused time does not advance by itself while a blocking task runs.
    tokio::task::spawn_blocking(move || blocked.recv());
    held
}

async fn later(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

/// Yields to other tasks until a condition holds.
async fn until(is_so: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not come to pass");
        std::thread::sleep(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
}

/// Signs many times concurrently, and returns the results.
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
    let _clock = stopped_clock();
    script.0.login_refused.store(true, Ordering::SeqCst);
    let vault = Arc::new(builder(&server).build().unwrap());
    for (pause, logins) in [(0, 1), (4, 1), (1, 2), (29, 2), (1, 3), (119, 3), (1, 4), (15 * 60, 4)]
    {
        later(pause).await;
        for ended in sign_at_once(&vault).await {
            let error = ended.unwrap_err();
            assert_eq!(error.kind(), SignErrorKind::PermissionDenied);
            // The message comes from the service, not from this program.
            assert_eq!(error.to_string(), "vault answered 400: invalid secret ID […]");
            assert!(error.hint().contains("lock the role out"), "{}", error.hint());
        }
        assert_eq!(script.logins(), logins, "{pause}");
    }
    script.0.login_refused.store(false, Ordering::SeqCst);
    later(60).await;
    sign(&vault).await.unwrap();
}

#[tokio::test]
async fn another_secret_is_tried_at_once() {
    let (server, script) = service(3600).await;
    let _clock = stopped_clock();
    script.0.login_refused.store(true, Ordering::SeqCst);
    let file = std::env::temp_dir().join(format!("wxpay-secret-id-{}", std::process::id()));
    let auth = VaultAuth::app_role("role", Secret::file(&file));
    let vault = builder(&server).auth(auth).build().unwrap();
    // An empty secret is not sent.
    assert_eq!(sign(&vault).await.unwrap_err().kind(), SignErrorKind::Configuration);
    assert_eq!(script.logins(), 0);
    for (secret, logins) in [("hunter2", 1), ("hunter2", 1), ("hunter3", 2), ("hunter3", 2)] {
        std::fs::write(&file, secret).unwrap();
        sign(&vault).await.unwrap_err();
        assert_eq!(script.logins(), logins);
    }
    std::fs::write(&file, "hunter4").unwrap();
    script.0.login_refused.store(false, Ordering::SeqCst);
    let signed = sign(&vault).await;
    std::fs::remove_file(&file).unwrap();
    signed.unwrap();
}

#[tokio::test]
async fn what_a_new_token_may_not_do_the_next_one_may_not_either() {
    let (server, script) = service(3600).await;
    let _clock = stopped_clock();
    let vault = Arc::new(builder(&server).build().unwrap());
    vault.public_key().await.unwrap();
    script.0.signing_refused.store(true, Ordering::SeqCst);
    // The first token was accepted before; the second was not, and later the cause may be the token
    // again.
    for (pause, logins) in [(0, 2), (4, 2), (1, 3)] {
        later(pause).await;
        for ended in sign_at_once(&vault).await {
            assert_eq!(ended.unwrap_err().kind(), SignErrorKind::PermissionDenied);
        }
        assert_eq!(script.logins(), logins);
    }
    script.0.signing_refused.store(false, Ordering::SeqCst);
    sign(&vault).await.unwrap();
    assert_eq!(script.logins(), 3);
}

#[tokio::test]
async fn the_old_token_serves_while_it_cannot_be_renewed() {
    let (server, script) = service(300).await;
    let _clock = stopped_clock();
    script.0.renewal_fails.store(true, Ordering::SeqCst);
    let vault = builder(&server).build().unwrap();
    sign(&vault).await.unwrap();
    for (pause, renewals) in [(201, 1), (34, 2)] {
        later(pause).await;
        until(|| script.renewals() == renewals).await;
        sign(&vault).await.unwrap();
        assert_eq!(script.logins(), 1);
    }
    later(66).await;
    sign(&vault).await.unwrap();
    assert_eq!(script.logins(), 2);
}

/// Logs in, replaces a revoked token, fails to renew the token, and renews and replaces it. Returns
/// the number of logins and renewals.
async fn life_of_a_token() -> [usize; 2] {
    let (server, script) = service(300).await;
    let _clock = stopped_clock();
    let vault = builder(&server).build().unwrap();
    sign(&vault).await.unwrap();
    script.revoke();
    sign(&vault).await.unwrap();
    assert_eq!(script.logins(), 2);
    script.0.renewal_fails.store(true, Ordering::SeqCst);
    later(201).await;
    until(|| script.renewals() == 1).await;
    // No signature: only the task that renews the token is at work.
    script.0.renewal_fails.store(false, Ordering::SeqCst);
    until_renewed(&script, 2).await;
    script.0.renewal_refused.store(true, Ordering::SeqCst);
    later(201).await;
    until(|| script.logins() == 3).await;
    sign(&vault).await.unwrap();
    [script.logins(), script.renewals()]
}

/// Lets time pass until the token was renewed this often.
async fn until_renewed(script: &Script, renewals: usize) {
    for _ in 0..60 {
        later(1).await;
        for _ in 0..5 {
            std::thread::sleep(Duration::from_millis(1));
            tokio::task::yield_now().await;
        }
        if script.renewals() == renewals {
            return;
        }
    }
    panic!("the token is no longer renewed");
}

/// The subscriber panics at one event, or at all from one on.
#[test]
fn a_subscriber_that_panics_costs_no_token() {
    for first in 1.. {
        let mut events = 0;
        for last in [first, usize::MAX] {
            let panics = move |event| {
                if (first..=last).contains(&event) {
                    panic_twice();
                }
            };
            let (counts, counted) = with_events(panics, || runtime().block_on(life_of_a_token()));
            assert_eq!(counts, [3, 3], "{first}..={last}");
            events = counted;
        }
        if events < first {
            assert!(first > 5, "{events} events");
            return;
        }
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Starts the service on a separate runtime, which does not sleep.
fn service_apart(lease: u64) -> (Runtime, MockServer, Script) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (server, script) = runtime.block_on(service(lease));
    (runtime, server, script)
}

/// Signs, and fails if that waits for a runtime that sleeps.
async fn sign_soon(vault: &VaultTransit) -> Vec<u8> {
    let signed = tokio::time::timeout(Duration::from_secs(60), sign(vault)).await;
    signed.expect("it does not wait for ever").unwrap()
}

#[test]
fn a_connection_of_a_runtime_that_sleeps_is_not_waited_for() {
    let (_service, server, script) = service_apart(3600);
    let vault = builder(&server).build().unwrap();
    let (sleeping, awake) = (runtime(), runtime());
    for runtime in [&sleeping, &awake, &sleeping] {
        runtime.block_on(sign_soon(&vault));
    }
    assert_eq!(script.logins(), 1);
}

#[test]
fn a_login_on_a_runtime_that_sleeps_is_not_waited_for() {
    let (_service, server, script) = service_apart(3600);
    script.0.login_delay.store(60_000, Ordering::SeqCst);
    let vault = builder(&server).build().unwrap();
    let (sleeping, awake) = (runtime(), runtime());
    // The caller gives up while the service is slow.
    sleeping.block_on(async {
        let signing = tokio::spawn({
            let vault = vault.clone();
            async move { sign(&vault).await }
        });
        until(|| script.logins() == 1).await;
        signing.abort();
    });
    script.0.login_delay.store(0, Ordering::SeqCst);
    awake.block_on(sign_soon(&vault));
    assert_eq!(script.logins(), 2);
}

#[test]
fn the_token_is_renewed_by_a_runtime_that_is_awake() {
    let (_service, server, script) = service_apart(60);
    let vault = builder(&server).build().unwrap();
    let (sleeping, awake) = (runtime(), runtime());
    sleeping.block_on(sign_soon(&vault));
    awake.block_on(async {
        let _clock = stopped_clock();
        sign(&vault).await.unwrap();
        later(45).await;
        sign(&vault).await.unwrap();
        until(|| script.renewals() == 1).await;
    });
    assert_eq!(script.logins(), 1);
}

#[tokio::test]
async fn a_token_is_renewed_while_nothing_is_signed() {
    let (server, script) = service(60).await;
    let _clock = stopped_clock();
    let vault = builder(&server).build().unwrap();
    sign(&vault).await.unwrap();
    for renewals in 1..4 {
        later(41).await;
        until(|| script.renewals() == renewals).await;
    }
    assert_eq!(script.logins(), 1);
}

/// For example after the machine was suspended.
#[tokio::test]
async fn a_token_that_has_ended_is_replaced_while_nothing_is_signed() {
    let (server, script) = service(60).await;
    let _clock = stopped_clock();
    let vault = builder(&server).build().unwrap();
    sign(&vault).await.unwrap();
    later(61).await;
    until(|| script.logins() == 2).await;
    assert_eq!(script.renewals(), 0);
    sign(&vault).await.unwrap();
    assert_eq!(script.logins(), 2);
}

/// An agent renews the token, which the signer itself is not allowed to do.
#[tokio::test]
async fn a_token_that_somebody_else_renews_is_looked_up() {
    let (server, script) = service(60).await;
    let _clock = stopped_clock();
    script.0.renewal_refused.store(true, Ordering::SeqCst);
    *script.0.valid.lock().unwrap() = token(7);
    let auth = VaultAuth::token(Secret::new(token(7)));
    let vault = builder(&server).auth(auth).build().unwrap();
    sign(&vault).await.unwrap();
    for lookups in 2..5 {
        later(41).await;
        until(|| script.lookups() == lookups).await;
        assert_eq!(script.renewals(), lookups - 1);
    }
    sign(&vault).await.unwrap();
}

#[test]
fn renewing_goes_on_on_another_runtime() {
    let service_runtime = Runtime::new().unwrap();
    let (server, script) = service_runtime.block_on(service(60));
    let vault = builder(&server).build().unwrap();
    for _ in 0..2 {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let _clock = stopped_clock();
            sign(&vault).await.unwrap();
            let before = script.renewals();
            // The clock of the second runtime is behind: it was never advanced. If the time passes while a
            // renewal or a login is in flight, that fails, and a signature that waits for it, too.
            for _ in 0..30 {
                if script.renewals() > before {
                    break;
                }
                later(41).await;
                let _ = sign(&vault).await;
            }
            assert!(script.renewals() > before);
        });
    }
}

/// Nor longer than the time limit of a request: callers that wait for the login join the same one
/// again.
#[tokio::test]
async fn a_login_that_takes_longer_than_anybody_waits_is_made_once() {
    let (server, script) = service(3600).await;
    script.0.login_delay.store(1000, Ordering::SeqCst);
    let vault = Arc::new(builder(&server).build().unwrap());
    let callers = (0..20).map(|_| {
        let vault = Arc::clone(&vault);
        tokio::spawn(async move {
            let begin = std::time::Instant::now();
            let patience = Duration::from_millis(100);
            let mut given_up = 0;
            while begin.elapsed() < Duration::from_secs(60) {
                match tokio::time::timeout(patience, sign(&vault)).await {
                    Ok(signed) => return signed.map(|_| given_up),
                    Err(_) => given_up += 1,
                }
            }
            panic!("no signature");
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        assert!(caller.await.unwrap().unwrap() > 0);
    }
    assert_eq!(script.logins(), 1);
}

#[tokio::test]
async fn who_gives_up_during_a_login_holds_nobody_up() {
    let (server, script) = service(3600).await;
    let vault = builder(&server).build().unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(10), sign(&vault)).await;
    assert!(given_up.is_err());
    sign(&vault).await.unwrap();
    assert_eq!(script.logins(), 1);
}

#[tokio::test]
async fn a_login_without_a_token_is_none() {
    for (response, says) in [
        (
            json!({ "auth": null, "wrap_info": { "token": "hunter2" } }),
            "without the requested data",
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
        (json!({ "errors": ["no"] }), "requested data: no"),
    ] {
        let server = MockServer::start().await;
        let response = ResponseTemplate::new(200).set_body_json(response);
        Mock::given(any()).respond_with(response).mount(&server).await;
        let error = sign(&builder(&server).build().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Configuration);
        assert!(error.to_string().contains(says), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
