//! Hooks of an application that panic: the outcome of a call is not lost, and later calls are not affected.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use wxpay_auth::{
    Algorithm, Clock, FileKeySigner, KeyRing, Nonce, NonceError, NonceSource, NotReady, SignError,
    Signature, SignedMessage, Signer, SystemClock, SystemNonce, Timestamp, Verifier, VerifyError,
    WechatpaySerial,
};
use wxpay_testing::{ErrorBody, Fault, How, Misbehaviour, Plan, Point, ServerTls, WireServer};
use wxpay_tests::log::Log;
use wxpay_tests::requests::{list, terminate};
use wxpay_tests::telling_signer::Tells;
use wxpay_tests::until::until;
use wxpay_tests::{TestClient, builder, own_process};
use wxpay_transport::{
    Attempted, Audit, AuditRecord, Backoff, BaseUrl, Client, ClientBuilder, Delivery, Error,
    LimitKey, NoRetry, Outcome, Proxy, RateLimit, RateLimited, RateLimiter, Request, Resolve,
    RetryPolicy, Transport, async_trait,
};

use super::panicking_observers::other_subscriber;

/// The text of a panic must not be shown.
pub(super) const SECRET: &str = "text-of-the-panic";

/// A hook that panics at these calls, counted from 1; 0 means never.
#[derive(Debug, Clone)]
pub(super) struct Panics {
    pub(super) at: RangeInclusive<usize>,
    pub(super) asked: Arc<AtomicUsize>,
}

impl Panics {
    pub(super) fn at(at: usize) -> Self {
        Self { at: at..=at, asked: Arc::default() }
    }

    /// Panics from this call on.
    pub(super) fn from(at: usize) -> Self {
        Self { at: at..=usize::MAX, ..Self::at(at) }
    }

    pub(super) fn asked(&self) {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(!self.at.contains(&asked), "{SECRET}");
    }
}

impl Audit for Panics {
    fn record(&self, _: &AuditRecord<'_>) {
        self.asked();
    }
}

impl RetryPolicy for Panics {
    fn wait(&self, _: &Attempted<'_>) -> Option<Duration> {
        self.asked();
        None
    }
}

impl Clock for Panics {
    fn now(&self) -> Timestamp {
        self.asked();
        SystemClock.now()
    }
}

impl NonceSource for Panics {
    fn nonce(&self) -> Result<Nonce, NonceError> {
        self.asked();
        SystemNonce::new().nonce()
    }
}

#[async_trait]
impl RateLimiter for Panics {
    async fn acquire(&self, _: LimitKey<'_>, _: Duration) -> Result<(), RateLimited> {
        tokio::task::yield_now().await;
        self.asked();
        Ok(())
    }
}

#[async_trait]
impl Resolve for Panics {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        tokio::task::yield_now().await;
        self.asked();
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }
}

type Builder = ClientBuilder<FileKeySigner, KeyRing>;

/// One call at a time: a leaked permit would block the next call.
pub(super) fn client(server: &WireServer, set: impl FnOnce(Builder) -> Builder) -> TestClient {
    let url = format!("https://gateway.example:{}", server.address().port());
    let builder = builder(server, &url).resolver(Panics::at(0)).max_concurrent_calls(1);
    set(builder.max_queued_calls(0)).build().unwrap()
}

/// Makes a call through which a panic is to propagate.
pub(super) async fn passes_on(client: &TestClient, request: Request) {
    let client = client.clone();
    let ended = tokio::spawn(async move { client.send(request).await.map(|_| ()) }).await;
    assert!(ended.expect_err("a panic").is_panic());
}

pub(super) fn system_error() -> Misbehaviour {
    let (body, signed) = (ErrorBody::json("SYSTEM_ERROR", "told to"), true);
    Misbehaviour::Status { status: 500, body, signed, executed: false }
}

pub(super) fn limited() -> Request {
    list().with_rate_limit(RateLimit::per_second(1000))
}

#[tokio::test]
async fn an_auditor_changes_no_outcome() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    for (misbehaviour, outcome) in [(None, None), (Some(system_error()), Some(Outcome::Unknown))] {
        let audit = Panics::at(1);
        let client = client(&server, |b| b.audit(audit.clone()));
        if let Some(misbehaviour) = misbehaviour {
            server.misbehave_once(misbehaviour);
        }
        let ended = client.send(list()).await;
        assert_eq!(ended.err().map(|e| e.outcome()), outcome);
        client.send(list()).await.unwrap();
        assert_eq!(audit.asked.load(Ordering::Relaxed), 2, "each attempt has one record");
    }
}

#[tokio::test]
async fn an_auditor_is_no_danger_to_a_call_that_is_dropped() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let audit = Panics::at(1);
    let client = client(&server, |b| b.audit(audit.clone()));
    server.fault_once(Fault::new(Point::Executed, How::Stall));
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.send(list()).await }
    });
    until("the call was executed", || !server.journal().is_empty()).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled(), "and not a panic");
    assert_eq!(audit.asked.load(Ordering::Relaxed), 1);
    client.send(list()).await.unwrap();
}

/// Panics once a signature has been made.
#[derive(Debug)]
struct PanicsOnceSigned(Arc<Notify>);

#[async_trait]
impl Resolve for PanicsOnceSigned {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        self.0.notified().await;
        panic!("{SECRET}")
    }
}

#[tokio::test]
async fn two_panics_at_once_do_not_end_the_process() {
    let server = WireServer::start_plain().await;
    let (audit, signed) = (Panics::at(1), Arc::<Notify>::default());
    let signer = Tells(server.signer(), Arc::clone(&signed));
    let client = Client::builder(server.mchid(), signer, server.key_ring())
        .base_url(BaseUrl::new("https://main.example").unwrap())
        .resolver(PanicsOnceSigned(signed))
        .proxy(Proxy::none())
        .retry(NoRetry)
        .audit(audit.clone())
        .build()
        .unwrap();
    // The panic of the resolver propagates; the record is written while it does.
    let call = tokio::spawn(async move { client.send(list()).await });
    assert!(call.await.unwrap_err().is_panic());
    assert_eq!(audit.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_clock_is_not_needed_to_verify() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    for is_refused in [false, true] {
        // The clock is read when the client is built, then to check for a valid key, then to sign; after
        // that, any number of times for the response.
        for at in 4.. {
            server.add_plan(Plan::new("12000", "1004"));
            let clock = Panics::at(at);
            let client = client(&server, |b| b.clock(clock.clone()));
            let ended = client.send(terminate(if is_refused { "777" } else { "12000" })).await;
            let expected = if is_refused { Err(Outcome::Rejected) } else { Ok(()) };
            assert_eq!(ended.map(|_| ()).map_err(|e| e.outcome()), expected, "asked {at} times");
            if clock.asked.load(Ordering::Relaxed) < at {
                assert!(at > 5, "the clock is read at least twice");
                break;
            }
            client.send(list()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_clock_that_never_works_again_verifies_fresh_responses_alone() {
    /// Works while the client is built and until one call is signed; panics at every later call.
    #[derive(Debug)]
    struct Broken(AtomicUsize);
    impl Clock for Broken {
        fn now(&self) -> Timestamp {
            assert!(self.0.fetch_add(1, Ordering::Relaxed) < 3, "{SECRET}");
            SystemClock.now()
        }
    }
    for (misbehaviour, is_verified) in [
        (None, true),
        (Some(Misbehaviour::StaleTimestamp), false),
        (Some(Misbehaviour::FutureTimestamp), false),
    ] {
        let server = WireServer::start_tls(ServerTls::Good).await;
        let client = client(&server, |b| b.clock(Broken(AtomicUsize::new(0))));
        if let Some(misbehaviour) = &misbehaviour {
            server.misbehave_once(misbehaviour.clone());
        }
        let ended = client.send(list()).await;
        assert_eq!(ended.is_ok(), is_verified, "{misbehaviour:?}: {ended:?}");
        assert_eq!(ended.err().map(|e| e.outcome()), (!is_verified).then_some(Outcome::Unknown));
    }
}

#[tokio::test]
async fn a_policy_ends_the_call_as_its_attempt_ended() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let client = client(&server, |b| b.retry(Panics::at(1)));
    server.misbehave_once(system_error());
    let error = client.send(list()).await.unwrap_err();
    assert_eq!(error.status().map(|s| s.as_u16()), Some(500));
    client.send(list()).await.unwrap();

    // A verified 202 remains a 202.
    let client = self::client(&server, |b| b.retry(Panics::at(1)));
    server.misbehave_once(Misbehaviour::UnexpectedSuccess { status: 202, body: String::new() });
    assert_eq!(client.send(list()).await.unwrap().status().as_u16(), 202);
}

#[tokio::test]
async fn what_comes_before_sending_passes_on_unless_an_attempt_was_sent() {
    type Set = fn(Builder, Panics) -> Builder;
    // How often each hook is called when the client is built, and in an attempt before it is sent.
    let hooks: [(&str, usize, usize, Set); 4] = [
        ("RateLimiter", 0, 1, |b, panics| b.rate_limiter(panics)),
        ("NonceSource", 0, 1, |b, panics| b.nonce_source(panics)),
        ("Resolve", 0, 1, |b, panics| b.resolver(panics)),
        ("Clock", 1, 2, |b, panics| b.clock(panics)),
    ];
    for (name, made, times, set) in hooks {
        let server = WireServer::start_tls(ServerTls::Good).await;
        let retry = || Backoff::new().first(Duration::from_millis(1));
        let client_at = |at| client(&server, |b| set(b.retry(retry()), Panics::at(at)));

        let client = client_at(made + 1);
        passes_on(&client, limited()).await;
        assert_eq!(server.journal().len(), 0, "{name}");
        client.send(limited()).await.unwrap_or_else(|e| panic!("{name}: {e}"));

        // The hook panics in the second attempt; the first attempt may have been executed.
        let before = server.journal().len();
        server.fault_once(Fault::new(Point::Executed, How::Close));
        let client = client_at(made + times + 1);
        let error = client.send(limited()).await.unwrap_err();
        assert_eq!((error.delivery(), error.outcome()), (Delivery::Unknown, Outcome::Unknown));
        assert!(matches!(error, Error::Exchange(_)), "{name}: {error:?}");
        assert_eq!(server.journal().len(), before + 1, "{name}");
        client.send(limited()).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

/// A verifier that panics once.
#[derive(Debug)]
struct PanicsToVerify(KeyRing, Panics);

#[async_trait]
impl Verifier for PanicsToVerify {
    async fn verify(&self, message: SignedMessage<'_>) -> Result<(), VerifyError> {
        self.1.asked();
        self.0.verify(message).await
    }

    fn preferred_serial(&self, now: Timestamp) -> Option<WechatpaySerial> {
        self.0.preferred_serial(now)
    }

    fn readiness(&self, now: Timestamp) -> Result<(), NotReady> {
        self.0.readiness(now)
    }
}

#[tokio::test]
async fn a_response_that_nobody_verified_leaves_the_outcome_open() {
    let server = WireServer::start_plain().await;
    let verifier = PanicsToVerify(server.key_ring(), Panics::at(1));
    let client = Client::builder(server.mchid(), server.signer(), verifier)
        .base_url(BaseUrl::new(server.base_url()).unwrap())
        .proxy(Proxy::none())
        .retry(NoRetry)
        .max_concurrent_calls(1)
        .build()
        .unwrap();
    let error = client.send(terminate("12000")).await.unwrap_err();
    assert_eq!((error.delivery(), error.outcome()), (Delivery::Unknown, Outcome::Unknown));
    assert!(!error.may_retry());
    client.send(list()).await.unwrap();
}

/// Nor do other log lines of this file's tests show it.
#[test]
fn a_panic_is_logged_without_its_text() {
    own_process!();
    let log = Log::of_process();
    for panics in [
        an_auditor_changes_no_outcome,
        an_auditor_is_no_danger_to_a_call_that_is_dropped,
        two_panics_at_once_do_not_end_the_process,
        a_clock_is_not_needed_to_verify,
        a_clock_that_never_works_again_verifies_fresh_responses_alone,
        a_policy_ends_the_call_as_its_attempt_ended,
        what_comes_before_sending_passes_on_unless_an_attempt_was_sent,
        a_response_that_nobody_verified_leaves_the_outcome_open,
    ] {
        panics();
    }
    let log = log.text();
    assert!(log.contains("code of the application panicked") && log.contains("Audit"), "{log}");
    assert!(!log.contains(SECRET), "{log}");
}

/// A panic is logged with the name of its hook.
#[tokio::test]
async fn the_log_names_the_hook() {
    own_process!();
    let _other = other_subscriber();
    let server = WireServer::start_tls(ServerTls::Good).await;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let hooks = || {
        let text = log.text();
        let hooks = text.lines().filter_map(|line| line.split("hook=\"").nth(1));
        hooks.map(|hook| hook.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
    };

    let client = client(&server, |b| b);
    let error = client.send(list().recognised_by(|_| panic!("{SECRET}"))).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(hooks(), ["recognised_by"]);

    // Before the second attempt of a call is sent.
    type Set = fn(Builder, Panics) -> Builder;
    let before_sending: [(&str, usize, Set); 4] = [
        ("RateLimiter", 2, |b, panics| b.rate_limiter(panics)),
        ("NonceSource", 2, |b, panics| b.nonce_source(panics)),
        ("Resolve", 2, |b, panics| b.resolver(panics)),
        ("Clock", 4, |b, panics| b.clock(panics)),
    ];
    for (name, at, set) in before_sending {
        let retry = Backoff::new().first(Duration::from_millis(1));
        let client = self::client(&server, |b| set(b.retry(retry), Panics::at(at)));
        server.fault_once(Fault::new(Point::Executed, How::Close));
        client.send(limited()).await.unwrap_err();
        assert_eq!(hooks().last().unwrap(), name);
    }

    /// Signs once.
    #[derive(Debug)]
    struct SignsOnce(FileKeySigner, Panics);
    #[async_trait]
    impl Signer for SignsOnce {
        fn algorithm(&self) -> Algorithm {
            self.0.algorithm()
        }

        async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
            self.1.asked();
            self.0.sign(message).await
        }
    }
    let signer = SignsOnce(server.signer(), Panics::at(2));
    let verifier = PanicsToVerify(server.key_ring(), Panics::at(1));
    let plain =
        WireServer::builder().wechat_pay(server.wechat_pay().clone()).start().await.unwrap();
    let client = Client::builder(server.mchid(), signer, verifier)
        .base_url(BaseUrl::new(plain.base_url()).unwrap())
        .proxy(Proxy::none())
        .retry(Backoff::new().first(Duration::from_millis(1)))
        .build()
        .unwrap();
    // The response to the first attempt is not verified; the second attempt is not signed.
    assert_eq!(client.send(list()).await.unwrap_err().outcome(), Outcome::Unknown);
    let all = hooks();
    assert_eq!(all[all.len() - 2..], ["Verifier", "Signer"], "{all:?}");
}
