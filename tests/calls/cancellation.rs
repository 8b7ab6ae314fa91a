//! Dropped calls leave nothing behind.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use wxpay_auth::{Algorithm, FileKeySigner, KeyRing, SignError, Signature, Signer};
use wxpay_marketing::DeliveryPlans;
use wxpay_testing::{
    ErrorBody, Fault, How, Misbehaviour, Plan, Point, ServerTls, WechatPay, WireServer,
    client_config,
};
use wxpay_tests::footprint::Footprint;
use wxpay_tests::{builder, plan_id};
use wxpay_transport::{
    Audit, AuditRecord, Backoff, BaseUrl, Client, Error, Failover, Proxy, Request, Response,
    Target, Transport, async_trait,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_dropped_at_any_point_leave_a_working_client() {
    let server = WireServer::start_tls(ServerTls::Good).await;
    let client = builder(&server, &server.base_url()).build().unwrap();
    let plans = DeliveryPlans::new(client.clone());
    for n in 0..200_u64 {
        server.add_plan(Plan::new(n.to_string(), "1004"));
        let id = plan_id(&n.to_string());
        // From before anything happens to after the call has ended.
        let patience = Duration::from_micros(n * 20);
        let _ = tokio::time::timeout(patience, plans.terminate(&id)).await;
    }
    // No interrupted connection is reused: every response belongs to its call.
    for n in 0..20 {
        let id = format!("after-{n}");
        server.add_plan(Plan::new(&id, "1004"));
        let terminated = plans.terminate(&plan_id(&id)).await.unwrap();
        assert_eq!(terminated.plan_id.as_str(), id);
    }
    // Calls that found no spare connection open more in advance; how many find none depends on the machine.
    assert!(client.idle_connections() <= 8, "more than the limit of spares");
}

#[tokio::test]
async fn a_dropped_call_closes_its_connection_and_leaves_no_task() {
    let server = WireServer::start_plain().await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    // One server task per connection; the client has no tasks.
    let before = tasks();
    for at in [Point::Request, Point::Executed, Point::ResponseBytes(30)] {
        let client = builder(&server, &server.base_url()).build().unwrap();
        let plans = DeliveryPlans::new(client.clone());
        server.fault_once(Fault::new(at, How::Stall));
        let id = plan_id("12000");
        let call = plans.terminate(&id);
        assert!(tokio::time::timeout(Duration::from_millis(100), call).await.is_err());
        assert_eq!(client.idle_connections(), 0, "{at:?}");
    }
    // A stalled server does not notice the disconnect.
    server.disconnect(How::Close);
    let ended = async {
        while tasks() > before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("all tasks end");
}

#[tokio::test]
async fn a_call_dropped_while_the_server_works_is_not_taken_for_the_next_one() {
    let server = WireServer::start_plain().await;
    let client = builder(&server, &server.base_url()).build().unwrap();
    let plans = DeliveryPlans::new(client.clone());
    plans.terminate(&plan_id("12000")).await.unwrap();
    server.misbehave_once(Misbehaviour::Slow(Duration::from_millis(200)));
    let slow_id = plan_id("12001");
    let slow = plans.terminate(&slow_id);
    assert!(tokio::time::timeout(Duration::from_millis(50), slow).await.is_err());
    let next = plans.terminate(&plan_id("12002")).await.unwrap();
    assert_eq!(next.plan_id.as_str(), "12002");
    let requests = server.requests_per_connection();
    assert!(requests.iter().all(|n| *n <= 1), "one request per connection: {requests:?}");
}

/// The course of a call until it is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// Opens a connection, and gets a response.
    Straight,
    /// Uses a kept connection.
    Kept,
    /// Uses a kept connection that the server has closed.
    Stale,
    /// Gets a 500 twice, and is retried.
    Retried,
    /// The main domain accepts no connection.
    Moved,
    /// The main domain responds with 502.
    MovedSent,
    /// The main domain has failed, and the call probes it.
    Probe,
}

/// Counts signatures and audit records, and the signing sessions in use.
#[derive(Debug, Default)]
struct Counts {
    sessions: AtomicUsize,
    signed: AtomicUsize,
    recorded: AtomicUsize,
}

/// Signs in a session, with a delay.
#[derive(Debug)]
struct SlowSigner {
    signer: FileKeySigner,
    counts: Arc<Counts>,
}

struct Session<'a>(&'a AtomicUsize);

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Signer for SlowSigner {
    fn algorithm(&self) -> Algorithm {
        self.signer.algorithm()
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        self.counts.sessions.fetch_add(1, Ordering::SeqCst);
        let _session = Session(&self.counts.sessions);
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
        let signature = self.signer.sign(message).await?;
        self.counts.signed.fetch_add(1, Ordering::SeqCst);
        Ok(signature)
    }
}

#[derive(Debug)]
struct Recorder(Arc<Counts>);

impl Audit for Recorder {
    fn record(&self, _: &AuditRecord<'_>) {
        self.0.recorded.fetch_add(1, Ordering::SeqCst);
    }
}

struct Domains {
    main: WireServer,
    standby: WireServer,
    counts: Arc<Counts>,
    client: Client<SlowSigner, KeyRing>,
}

impl Domains {
    async fn start(tls: Option<ServerTls>) -> Self {
        let wechat_pay = WechatPay::builder().build();
        let server = || {
            let server = WireServer::builder().wechat_pay(wechat_pay.clone());
            match tls {
                Some(tls) => server.tls(tls),
                None => server,
            }
        };
        let (main, standby) = (server().start().await.unwrap(), server().start().await.unwrap());
        let url = |server: &WireServer| BaseUrl::new(server.base_url()).unwrap();
        let counts = Arc::<Counts>::default();
        let signer = SlowSigner { signer: main.signer(), counts: Arc::clone(&counts) };
        let failover = Failover::to(url(&standby)).after_failures(1);
        let client = Client::builder(main.mchid(), signer, main.key_ring())
            .base_url(url(&main))
            .failover(failover.probe_after(Duration::from_millis(1)))
            .retry(Backoff::new().first(Duration::from_millis(1)))
            // The next call would fail if a place were not released.
            .max_concurrent_calls(1)
            .max_queued_calls(0)
            .audit(Recorder(Arc::clone(&counts)))
            .proxy(Proxy::none())
            .tls(client_config())
            .build()
            .unwrap();
        Self { main, standby, counts, client }
    }

    async fn prepare(&self, course: Course) {
        let response = |status| {
            let body = ErrorBody::Html;
            Misbehaviour::Status { status, body, signed: false, executed: false }
        };
        match course {
            Course::Straight => {}
            Course::Kept => self.call_ends_well("before").await,
            Course::Stale => {
                self.main.fault_once(Fault::new(Point::Responded, How::Close));
                self.call_ends_well("before").await;
            }
            Course::Retried => self.main.misbehave_times(2, response(500)),
            Course::Moved => self.main.fault_once(Fault::new(Point::Accept, How::Reset)),
            Course::MovedSent => self.main.misbehave_once(response(502)),
            Course::Probe => {
                self.main.fault_once(Fault::new(Point::Accept, How::Reset));
                self.call_ends_well("before").await;
                assert_eq!(self.standby.connections(), 1, "the call has moved");
                // The time after which the main domain is probed.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    async fn call_ends_well(&self, brand: &str) {
        assert_eq!(self.response(brand).await.status(), 200);
    }

    /// Makes a call, and checks that the response belongs to it.
    async fn response(&self, brand: &str) -> Response {
        let plan_id = format!("of-{brand}");
        self.main.add_plan(Plan::new(&plan_id, brand));
        let response = self.client.send(list(brand)).await.unwrap();
        let body = String::from_utf8_lossy(response.body().body());
        assert!(body.contains(&plan_id), "a response to another call: {body}");
        response
    }
}

fn list(brand: &str) -> Request {
    let path = format!("/v3/marketing/partner/delivery-plan/delivery-plans/{brand}/delivery-plans");
    let target = Target::new(path).unwrap();
    Request::get("delivery_plans.list", target).recognised_by(|body| body.starts_with(b"{"))
}

/// Polls a call up to this many times, then drops it unless it has completed.
async fn polled(
    times: usize,
    call: impl Future<Output = Result<Response, Error>>,
) -> Option<Result<Response, Error>> {
    let mut call = pin!(call);
    let mut left = times;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match call.as_mut().poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Drops a call after its first wait, then after its second, and so on until the call completes.
async fn drop_everywhere(course: Course, tls: Option<ServerTls>) -> usize {
    let empty = Footprint::of_tasks();
    for times in 0.. {
        let domains = Domains::start(tls).await;
        domains.prepare(course).await;
        let ended = polled(times, domains.client.send(list("1004"))).await;

        let at = format!("{course:?}, {tls:?}, dropped after {times} polls");
        let Counts { sessions, signed, recorded } = &*domains.counts;
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        assert_eq!(count(sessions), 0, "a signing session is left open: {at}");
        assert_eq!(count(signed), count(recorded), "signed and recorded: {at}");
        assert!(domains.client.idle_connections() <= 2, "one to each domain: {at}");

        domains.main.behave();
        domains.main.fault_always(None);
        let next = domains.response("after").await;
        if course == Course::Probe {
            let main = domains.main.address().to_string();
            assert_eq!(next.host(), main, "the main domain is not used: {at}");
        }
        domains.call_ends_well("after-that").await;
        assert_eq!(count(signed), count(recorded), "signed and recorded: {at}");

        drop(domains);
        empty.wait(&at).await;
        if let Some(ended) = ended {
            assert_eq!(ended.unwrap().status(), 200, "{at}");
            return times;
        }
    }
    unreachable!("it comes to its end")
}

#[tokio::test]
async fn a_call_can_be_dropped_at_each_of_its_waits() {
    for tls in [None, Some(ServerTls::Good)] {
        for course in [
            Course::Straight,
            Course::Kept,
            Course::Stale,
            Course::Retried,
            Course::Moved,
            Course::MovedSent,
            Course::Probe,
        ] {
            // Without TLS, a reset after accepting may arrive before or after the request is written: the
            // call moves in either case, since it may be repeated.
            let polls = drop_everywhere(course, tls).await;
            assert!(polls >= 3, "{course:?}: it waits to connect, to sign and for the response");
        }
    }
}
