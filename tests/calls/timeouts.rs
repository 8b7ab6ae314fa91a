//! Timeouts, limits, and invalid settings.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use wxpay_auth::{Algorithm, FileKeySigner, SignError, Signature, Signer, async_trait};
use wxpay_marketing::DeliveryPlans;
use wxpay_testing::{
    ErrorBody, Fault, How, Misbehaviour, Plan, Point, ServerTls, WechatPay, WireServer,
};
use wxpay_tests::requests::list;
use wxpay_tests::{builder, kind, plan_id, plans};
use wxpay_transport::{
    Backoff, BaseUrl, CallStage, Client, ClientBuilder, ConfigError, Delivery, Error, Failover,
    Proxy, TimeoutKind, Transport,
};

#[tokio::test]
async fn the_shorter_time_out_is_named() {
    let server = WireServer::start_plain().await;
    server.misbehave(Misbehaviour::Slow(Duration::from_secs(60)));
    let (short, long) = (Duration::from_secs(1), Duration::from_secs(60));
    for (attempt, call, limit) in
        [(Some(short), long, TimeoutKind::Attempt), (None, short, TimeoutKind::Call)]
    {
        // An attempt may take 15 s, unless the call has less.
        let builder = builder(&server, &server.base_url()).call_timeout(call);
        let builder = attempt.into_iter().fold(builder, ClientBuilder::attempt_timeout);
        let client = builder.build().unwrap();
        let error = DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap_err();
        let wxpay_marketing::Error::Transport(Error::Timeout(timeout)) = &error else {
            panic!("{error:?}")
        };
        assert_eq!((timeout.kind(), timeout.after()), (limit, short));
        assert_eq!(timeout.stage(), CallStage::Waiting);
        server.add_plan(wxpay_testing::Plan::new("12000", "1004"));
    }
}

/// Never signs.
#[derive(Debug)]
struct HangingSigner;

#[async_trait]
impl Signer for HangingSigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Sha256Rsa2048
    }

    async fn sign(&self, _: &[u8]) -> Result<Signature, SignError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_signer_that_hangs_has_sent_nothing() {
    let server = WireServer::start_plain().await;
    let client = Client::builder(server.mchid(), HangingSigner, server.key_ring())
        .base_url(BaseUrl::new(server.base_url()).unwrap())
        .proxy(Proxy::none())
        .call_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let error = DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap_err();
    assert_eq!((kind(&error), error.delivery()), ("timeout", Delivery::NotSent));
    assert!(error.may_retry());
    assert!(error.to_string().contains("connecting and signing"), "{error}");
    assert_eq!(server.journal().len(), 0);
}

/// Blocks the thread until its time has passed, then signs.
#[derive(Debug)]
struct TooLate(FileKeySigner);

#[async_trait]
impl Signer for TooLate {
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    async fn sign(&self, _: &[u8]) -> Result<Signature, SignError> {
        panic!("`sign_within` must be called")
    }

    async fn sign_within(&self, message: &[u8], left: Duration) -> Result<Signature, SignError> {
        std::thread::sleep(left);
        self.0.sign(message).await
    }
}

#[tokio::test]
async fn nothing_is_sent_with_a_signature_that_came_too_late() {
    let server = WireServer::start_plain().await;
    let client = Client::builder(server.mchid(), TooLate(server.signer()), server.key_ring())
        .base_url(BaseUrl::new(server.base_url()).unwrap())
        .proxy(Proxy::none())
        .call_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let error = DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap_err();
    assert_eq!((kind(&error), error.delivery()), ("timeout", Delivery::NotSent));
    // By then the server would have read a request.
    server.disconnect(How::Close);
    assert_eq!(server.journal().len(), 0);
}

#[tokio::test]
async fn a_call_has_time_to_move_when_connecting_may_take_longer_than_it() {
    let wechat_pay = WechatPay::builder().build();
    let server = || WireServer::builder().tls(ServerTls::Good).wechat_pay(wechat_pay.clone());
    let (main, standby) = (server().start().await.unwrap(), server().start().await.unwrap());
    main.fault_always(Some(Fault::new(Point::Accept, How::Stall)));
    let client = builder(&wechat_pay, &main.base_url())
        .failover(Failover::to(BaseUrl::new(standby.base_url()).unwrap()))
        .connect_timeout(Duration::from_secs(60))
        .call_timeout(Duration::from_secs(4))
        .build()
        .unwrap();
    DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap();
    assert_eq!(wechat_pay.journal().len(), 1);
}

/// Records how much time it is given at each call.
#[derive(Debug)]
struct Told(FileKeySigner, Arc<Mutex<Vec<Duration>>>);

#[async_trait]
impl Signer for Told {
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    async fn sign(&self, _: &[u8]) -> Result<Signature, SignError> {
        panic!("`sign_within` must be called")
    }

    async fn sign_within(&self, message: &[u8], left: Duration) -> Result<Signature, SignError> {
        self.1.lock().unwrap().push(left);
        self.0.sign(message).await
    }
}

#[tokio::test]
async fn a_signer_is_told_how_much_time_is_left() {
    let server = WireServer::start_plain().await;
    let (attempt, call) = (Duration::from_secs(40), Duration::from_secs(60));
    for (attempt, call, most) in [(attempt, call, attempt), (call, call, call)] {
        let told = Arc::new(Mutex::new(Vec::new()));
        let signer = Told(server.signer(), Arc::clone(&told));
        let client = Client::builder(server.mchid(), signer, server.key_ring())
            .base_url(BaseUrl::new(server.base_url()).unwrap())
            .proxy(Proxy::none())
            .retry(Backoff::new().first(Duration::from_millis(1)))
            .attempt_timeout(attempt)
            .call_timeout(call)
            .build()
            .unwrap();
        // Two attempts, with time passing between them.
        let (body, signed) = (ErrorBody::json("RATELIMIT_EXCEEDED", "told to"), true);
        let throttled = Misbehaviour::Status { status: 429, body, signed, executed: false };
        server.misbehave_once(throttled);
        server.add_plan(Plan::new("12000", "1004"));
        DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap();
        let told = told.lock().unwrap().clone();
        assert_eq!(told.len(), 2);
        assert!(told.iter().all(|left| *left <= most && *left > most / 2), "{told:?} of {most:?}");
        if most == call {
            assert!(told[1] < told[0], "{told:?}");
        }
    }
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    let server = WireServer::start_plain().await;
    let builder = || builder(&server, &server.base_url());
    let (zero, second) = (Duration::ZERO, Duration::from_secs(1));
    for (builder, expected, hint) in [
        (builder().connect_timeout(zero), "the connect timeout is zero", "above zero"),
        (builder().attempt_timeout(zero), "the attempt timeout is zero", "above zero"),
        (builder().call_timeout(zero), "the call timeout is zero", "above zero"),
        (
            builder().attempt_timeout(second * 6).call_timeout(second * 5),
            "the attempt timeout (6s) is longer than that of the call (5s)",
            "several attempts should fit",
        ),
        (builder().attempt_timeout(second * 31), "(31s) is longer", "several attempts"),
        (builder().keep_idle(Duration::from_secs(8)), "8 s or longer", "7 s by default"),
        (builder().max_response_bytes(0), "zero bytes", "1 MiB"),
        (builder().user_agent(""), "user agent", "visible ASCII"),
        (builder().user_agent("shop\r\nX: y"), "user agent", "visible ASCII"),
        (builder().user_agent("商店"), "user agent", "visible ASCII"),
    ] {
        let error = builder.build().unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.hint().contains(hint), "{}", error.hint());
        assert_eq!(error.delivery(), Delivery::NotSent);
        assert!(!error.may_retry());
    }
    assert_eq!(BaseUrl::new("http://10.0.0.1").unwrap_err(), ConfigError::PlainHttp);
}

#[tokio::test]
async fn an_attempt_may_have_all_of_the_time_and_the_default_is_no_contradiction() {
    let server = WireServer::start_plain().await;
    let builder = || builder(&server, &server.base_url()).call_timeout(Duration::from_secs(5));
    builder().attempt_timeout(Duration::from_secs(5)).build().unwrap();
    // The default is 15 s.
    builder().build().unwrap();
}

#[tokio::test]
async fn absurdly_long_time_outs_do_no_harm() {
    let server = WireServer::start_plain().await;
    let client = builder(&server, &server.base_url())
        .connect_timeout(Duration::MAX)
        .attempt_timeout(Duration::MAX)
        .call_timeout(Duration::MAX)
        .build()
        .unwrap();
    DeliveryPlans::new(client).terminate(&plan_id("12000")).await.unwrap();
}

#[tokio::test]
async fn idle_connections_are_closed_without_anybody_calling() {
    let server = WireServer::start_plain().await;
    let client =
        builder(&server, &server.base_url()).keep_idle(Duration::from_millis(50)).build().unwrap();
    let plans = DeliveryPlans::new(client);
    plans.terminate(&plan_id("12000")).await.unwrap();
    assert_eq!(plans.transport().idle_connections(), 1);
    let closed = async {
        while plans.transport().idle_connections() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), closed).await.expect("the connection is closed");
    plans.terminate(&plan_id("12001")).await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn many_callers_share_the_connections() {
    let server = WireServer::start_plain().await;
    let client = builder(&server, &server.base_url()).build().unwrap();
    for _ in 0..3 {
        let calls: Vec<_> = (0..32)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.send(list()).await })
            })
            .collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
    }
    assert_eq!(server.journal().len(), 96);
    assert!(server.connections() <= 40, "{} connections", server.connections());
    assert_eq!(plans(&server, &server.base_url()).transport().idle_connections(), 0);
}
