//! Failover between two domains: which one calls use, and when they move.

use std::time::Duration;

use tokio::task::JoinHandle;
use wxpay_auth::{FileKeySigner, KeyRing};
use wxpay_testing::{
    ErrorBody, Fault, How, Misbehaviour, Plan, Point, ServerTls, WechatPay, WireServer,
};
use wxpay_tests::requests::{list, terminate};
use wxpay_tests::{TestClient, builder};
use wxpay_transport::{
    BaseUrl, ClientBuilder, Delivery, Error, Failover, NoRetry, Outcome, Replay, Response,
    Transport,
};

/// The main and the standby domain, which share their state. They use TLS: a refused connection is then
/// detected before anything is written.
struct Domains {
    main: WireServer,
    standby: WireServer,
    wechat_pay: std::sync::Arc<WechatPay>,
}

impl Domains {
    async fn start() -> Self {
        let wechat_pay = WechatPay::builder().build();
        let server =
            || WireServer::builder().tls(ServerTls::Good).wechat_pay(wechat_pay.clone()).start();
        let (main, standby) = (server().await.unwrap(), server().await.unwrap());
        Self { main, standby, wechat_pay }
    }

    fn failover(&self) -> Failover {
        Failover::to(BaseUrl::new(self.standby.base_url()).unwrap()).after_failures(3)
    }

    fn builder(&self) -> ClientBuilder<FileKeySigner, KeyRing> {
        builder(&self.wechat_pay, &self.main.base_url()).failover(self.failover())
    }

    fn client(&self) -> TestClient {
        self.builder().build().unwrap()
    }

    /// Returns the number of requests at the main and the standby domain.
    fn requests(&self) -> (usize, usize) {
        let count = |server: &WireServer| server.requests_per_connection().iter().sum();
        (count(&self.main), count(&self.standby))
    }

    /// Makes new connections to the main domain fail, and closes the existing ones.
    async fn main_goes_away(&self, client: &TestClient) {
        self.main.fault_always(Some(Fault::new(Point::Accept, How::Reset)));
        self.main.disconnect(How::Close);
        // Wait until the client notices the closed connections.
        let arrived = async {
            while client
                .send(list())
                .await
                .map_or(true, |response| response.host() == host(&self.main))
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), arrived).await.expect("calls move");
    }

    /// Makes calls until one of them tries the main domain, which does not respond; returns that call.
    async fn probe(&self, client: &TestClient) -> JoinHandle<Result<Response, Error>> {
        loop {
            let (client, before) = (client.clone(), self.requests().0);
            let call = tokio::spawn(async move { client.send(list()).await });
            // The call either completes at the standby domain, or tries the main domain.
            while !call.is_finished() {
                if self.requests().0 > before {
                    return call;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

fn host(server: &WireServer) -> String {
    server.address().to_string()
}

#[tokio::test]
async fn what_could_not_be_connected_moves_whatever_it_is() {
    for replay in [Replay::Safe, Replay::Keyed, Replay::Never] {
        for how in [How::Reset, How::Close] {
            let domains = Domains::start().await;
            domains.main.fault_always(Some(Fault::new(Point::Accept, how)));
            let request = terminate("12000").with_replay(replay);
            let response = domains.client().send(request).await.unwrap();
            assert_eq!(response.host(), host(&domains.standby));
            assert_eq!(domains.wechat_pay.executions(), 1, "{replay} {how:?}");
        }
        let domains = Domains::start().await;
        let main = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = builder(&domains.wechat_pay, &format!("https://{main}"))
            .failover(domains.failover())
            .build()
            .unwrap();
        let response = client.send(terminate("12000").with_replay(replay)).await.unwrap();
        assert_eq!(response.host(), host(&domains.standby), "no server listens");
    }
}

#[tokio::test]
async fn with_both_out_of_reach_nothing_was_sent() {
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (main, standby) = (free(), free());
    let wechat_pay = WechatPay::builder().build();
    let client = builder(&wechat_pay, &format!("http://{main}"))
        .failover(Failover::to(BaseUrl::new(format!("http://{standby}")).unwrap()))
        .build()
        .unwrap();
    let error = client.send(terminate("12000")).await.unwrap_err();
    assert_eq!((error.delivery(), error.outcome()), (Delivery::NotSent, Outcome::NotSent));
    assert_eq!(error.host(), Some(standby.to_string().as_str()), "the last domain tried");
    assert_eq!(error.attempts(), Some(2));
}

#[tokio::test]
async fn a_gateway_that_fails_moves_only_what_may_be_repeated() {
    for status in [502, 503, 504] {
        for (replay, moves) in [(Replay::Safe, true), (Replay::Keyed, true), (Replay::Never, false)]
        {
            let domains = Domains::start().await;
            let body = ErrorBody::Html;
            let response = Misbehaviour::Status { status, body, signed: false, executed: false };
            domains.wechat_pay.misbehave_once(response);
            let client = domains.builder().retry(Quickly).build().unwrap();
            let ended = client.send(terminate("12000").with_replay(replay)).await;
            assert_eq!(domains.requests(), (1, usize::from(moves)), "{status} {replay}");
            match ended {
                Ok(response) => assert_eq!(response.host(), host(&domains.standby)),
                Err(error) => {
                    assert_eq!(error.outcome(), Outcome::Unknown);
                    assert_eq!(error.host(), Some(host(&domains.main).as_str()));
                }
            }
        }
    }
}

/// Retries twice, without delay.
#[derive(Debug)]
struct Quickly;

impl wxpay_transport::RetryPolicy for Quickly {
    fn wait(&self, attempted: &wxpay_transport::Attempted<'_>) -> Option<Duration> {
        (attempted.attempts() < 3).then_some(Duration::ZERO)
    }
}

#[tokio::test]
async fn a_refusal_and_a_failure_of_the_system_never_move() {
    for (status, code) in [
        (400, "PARAM_ERROR"),
        (401, "SIGN_ERROR"),
        (403, "NO_AUTH"),
        (404, "NOT_FOUND"),
        (429, "RATELIMIT_EXCEEDED"),
        (500, "SYSTEM_ERROR"),
    ] {
        let domains = Domains::start().await;
        let body = ErrorBody::json(code, "told to");
        domains.wechat_pay.misbehave(Misbehaviour::Status {
            status,
            body,
            signed: true,
            executed: false,
        });
        let client = domains.builder().retry(Quickly).build().unwrap();
        client.send(list()).await.unwrap_err();
        let tries = if matches!(status, 429 | 500) { 3 } else { 1 };
        assert_eq!(domains.requests(), (tries, 0), "{status}");
    }
}

#[tokio::test]
async fn calls_leave_a_domain_that_keeps_failing() {
    let domains = Domains::start().await;
    // The main domain is not probed while this test runs.
    let failover = domains.failover().probe_after(Duration::from_secs(3600));
    let client = domains.builder().failover(failover).retry(NoRetry).build().unwrap();
    client.send(list()).await.unwrap();
    assert_eq!(domains.requests(), (1, 0), "the main domain first");

    domains.main_goes_away(&client).await;
    for _ in 0..5 {
        assert_eq!(client.send(list()).await.unwrap().host(), host(&domains.standby));
    }
    // The main domain recovers, but the client has not noticed yet.
    domains.main.fault_always(None);
    let tried = domains.main.connections();
    for _ in 0..5 {
        assert_eq!(client.send(list()).await.unwrap().host(), host(&domains.standby));
    }
    assert_eq!(domains.main.connections(), tried, "no call probes it");
}

#[tokio::test]
async fn calls_come_back_to_a_domain_that_works_again() {
    let domains = Domains::start().await;
    let failover = domains.failover().probe_after(Duration::from_millis(1));
    let client = domains.builder().failover(failover).retry(NoRetry).build().unwrap();
    domains.main_goes_away(&client).await;
    for _ in 0..5 {
        assert_eq!(client.send(list()).await.unwrap().host(), host(&domains.standby));
    }
    domains.main.fault_always(None);
    // One call probes it; then all calls return.
    let back = async {
        while client.send(list()).await.unwrap().host() != host(&domains.main) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), back).await.expect("a call returns");
    for _ in 0..5 {
        assert_eq!(client.send(list()).await.unwrap().host(), host(&domains.main));
    }
}

#[tokio::test]
async fn a_probe_that_is_dropped_leaves_the_way_to_the_next() {
    let domains = Domains::start().await;
    let failover = domains.failover().probe_after(Duration::from_millis(1));
    let client = domains
        .builder()
        .failover(failover)
        .attempt_timeout(Duration::from_secs(120))
        .call_timeout(Duration::from_secs(120))
        .build()
        .unwrap();
    domains.main_goes_away(&client).await;
    for _ in 0..5 {
        client.send(list()).await.unwrap();
    }
    // From now on the main domain accepts requests, but does not respond.
    domains.main.fault_always(Some(Fault::new(Point::Executed, How::Stall)));
    let probe = tokio::time::timeout(Duration::from_secs(120), domains.probe(&client));
    let probe = probe.await.expect("a call probes it");
    // Other calls do not use the domain while it is being probed.
    assert_eq!(client.send(list()).await.unwrap().host(), host(&domains.standby));
    probe.abort();
    assert!(probe.await.unwrap_err().is_cancelled());
    domains.main.fault_always(None);
    assert_eq!(client.send(list()).await.unwrap().host(), host(&domains.main));
}

#[tokio::test]
async fn one_call_in_a_hundred_proves_the_standby_domain() {
    let domains = Domains::start().await;
    let failover = domains.failover().sample_one_in(100);
    let client = domains.builder().failover(failover).build().unwrap();
    for _ in 0..400 {
        client.send(list()).await.unwrap();
    }
    assert_eq!(domains.requests(), (396, 4));
}

#[tokio::test]
async fn each_domain_has_its_own_connections() {
    let domains = Domains::start().await;
    let client = domains.client();
    client.send(list()).await.unwrap();
    domains.main.fault_once(Fault::new(Point::Request, How::Close));
    let client_again = domains.builder().retry(Quickly).build().unwrap();
    client_again.send(list()).await.unwrap();
    assert_eq!(client_again.idle_connections(), 1, "a connection to the standby domain");
    assert_eq!(domains.standby.connections(), 1);
}

#[tokio::test]
async fn without_a_standby_domain_everything_stays() {
    let domains = Domains::start().await;
    domains.wechat_pay.add_plan(Plan::new("99", "1004"));
    let client = domains.builder().without_failover().retry(Quickly).build().unwrap();
    assert_eq!(client.standby_url(), None);
    domains.main.fault_always(Some(Fault::new(Point::Accept, How::Close)));
    for _ in 0..10 {
        assert_eq!(client.send(terminate("99")).await.unwrap_err().attempts(), Some(3));
    }
    domains.main.fault_always(None);
    assert_eq!(client.send(terminate("99")).await.unwrap().host(), host(&domains.main));
    assert_eq!(domains.requests().1, 0);
}

#[tokio::test]
async fn wechat_pays_own_domains_are_the_default() {
    let wechat_pay = WechatPay::builder().build();
    let build = || {
        wxpay_transport::Client::builder(
            wechat_pay.mchid(),
            wechat_pay.signer(),
            wechat_pay.key_ring(),
        )
    };
    let client = build().build().unwrap();
    assert_eq!(client.base_url().to_string(), BaseUrl::MAIN);
    assert_eq!(client.standby_url().map(ToString::to_string).as_deref(), Some(BaseUrl::STANDBY));
    let client = build().base_url(BaseUrl::new(BaseUrl::MAIN).unwrap()).build().unwrap();
    assert_eq!(client.standby_url().map(ToString::to_string).as_deref(), Some(BaseUrl::STANDBY));
    let client = build().base_url(BaseUrl::new("https://example.com").unwrap()).build().unwrap();
    assert_eq!(client.standby_url(), None);
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let domains = Domains::start().await;
    let main = BaseUrl::new(domains.main.base_url()).unwrap();
    for (failover, what) in [
        (domains.failover().after_failures(0), "0 failures"),
        (domains.failover().probe_after(Duration::ZERO), "is zero"),
        (domains.failover().sample_one_in(99), "one call in 100"),
        (Failover::to(main), "is the main one"),
    ] {
        let error = domains.builder().failover(failover).build().unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
    for calls in [0, usize::MAX] {
        let error = domains.builder().max_concurrent_calls(calls).build().unwrap_err();
        assert!(error.to_string().contains("at the same time"), "{error}");
    }
}
