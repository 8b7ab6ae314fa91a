//! More calls than the limits allow: some run, some wait, the others are refused.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use wxpay_auth::{Algorithm, FileKeySigner, SignError, Signature, Signer, async_trait};
use wxpay_marketing::DeliveryPlans;
use wxpay_testing::{ErrorBody, Fault, How, Misbehaviour, Plan, Point, WechatPay, WireServer};
use wxpay_tests::builder;
use wxpay_tests::requests::list;
use wxpay_tests::until::until;
use wxpay_transport::{
    Backoff, BaseUrl, CallStage, Client, Delivery, Error, InProcessRateLimiter, NoRetry, Outcome,
    Overload, Proxy, RateLimit, TimeoutKind, Transport,
};

#[tokio::test]
async fn so_many_run_so_many_wait_and_the_others_are_refused() {
    let server = WireServer::start_plain().await;
    server.fault_always(Some(Fault::new(Point::Executed, How::Stall)));
    let client = builder(&server, &server.base_url())
        .max_concurrent_calls(2)
        .max_queued_calls(3)
        .build()
        .unwrap();
    let call = || {
        let client = client.clone();
        tokio::spawn(async move { client.send(list()).await })
    };
    let running: Vec<_> = (0..5).map(|_| call()).collect();
    until("both came", || server.journal().len() == 2).await;
    for _ in 0..3 {
        let error = call().await.unwrap().unwrap_err();
        let Error::Overload(overload) = &error else { panic!("{error:?}") };
        assert_eq!(overload.overload(), Overload::Calls);
        assert_eq!((error.delivery(), error.outcome()), (Delivery::NotSent, Outcome::NotSent));
        assert!(error.may_retry());
    }
    assert_eq!(server.journal().len(), 2, "waiting calls send nothing");
    // Dropped calls release their places: the next two calls run.
    server.fault_always(None);
    let mut running = running.into_iter();
    for call in running.by_ref().take(2) {
        call.abort();
    }
    for call in running {
        call.await.unwrap().unwrap();
    }
    assert_eq!(server.journal().len(), 5);
}

/// Waits while the clock is paused: it advances only when everything waits.
async fn until_at_this_time(what: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !what() {
        assert!(begin.elapsed() < Duration::from_secs(60), "the condition never holds");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_turn_counts_towards_the_time_of_the_call() {
    let server = WireServer::start_plain().await;
    server.fault_always(Some(Fault::new(Point::Executed, How::Stall)));
    let client = builder(&server, &server.base_url())
        .max_concurrent_calls(1)
        .attempt_timeout(Duration::from_secs(20))
        .call_timeout(Duration::from_secs(20))
        .build()
        .unwrap();
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.send(list()).await }
    });
    until_at_this_time(|| server.journal().len() == 1).await;
    // The running call holds the only place for its whole time, which is longer than the other call waits:
    // that one reserves a second for its attempt.
    let error = client.send(list()).await.unwrap_err();
    let Error::Timeout(timeout) = &error else { panic!("{error:?}") };
    assert_eq!((timeout.kind(), timeout.stage()), (TimeoutKind::Call, CallStage::Queueing));
    assert_eq!((error.delivery(), error.outcome()), (Delivery::NotSent, Outcome::NotSent));
    assert!(!first.is_finished(), "the place was not free");
    assert_eq!(first.await.unwrap().unwrap_err().outcome(), Outcome::Unknown);
    assert_eq!(server.journal().len(), 1, "a waiting call sends nothing");
}

#[tokio::test]
async fn a_rate_that_leaves_no_room_is_said_at_once() {
    let server = WireServer::start_plain().await;
    let client =
        builder(&server, &server.base_url()).call_timeout(Duration::from_secs(2)).build().unwrap();
    let rare = || list().with_rate_limit(RateLimit::per_second(1));
    client.send(rare()).await.unwrap();
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.send(rare()).await })
        })
        .collect();
    let (mut sent, mut refused) = (1, 0);
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => sent += 1,
            Err(error) => {
                let Error::Overload(overload) = &error else { panic!("{error:?}") };
                assert_eq!(overload.overload(), Overload::Rate);
                assert!(overload.retry_after().is_some_and(|wait| !wait.is_zero()));
                refused += 1;
            }
        }
    }
    // Two seconds allow two or three requests, and no call waited in vain.
    assert!((2..=4).contains(&sent), "{sent} were sent");
    assert_eq!((sent + refused, server.journal().len()), (6, sent));
}

#[tokio::test]
async fn clients_may_share_a_limiter_and_each_attempt_counts() {
    let server = WireServer::start_plain().await;
    // A share of one request per hour: no second request, even on a slow machine.
    let limiter = InProcessRateLimiter::new().share_of(NonZeroU32::new(3600).unwrap());
    let limiter = Arc::new(limiter);
    let client = || {
        builder(&server, &server.base_url())
            .rate_limiter(Arc::clone(&limiter))
            .retry(Backoff::new().first(Duration::from_millis(1)))
            .build()
            .unwrap()
    };
    let rare = || list().with_rate_limit(RateLimit::per_second(1));
    let (body, signed) = (ErrorBody::json("SYSTEM_ERROR", "told to"), true);
    server.misbehave_once(Misbehaviour::Status { status: 500, body, signed, executed: false });
    let error = client().send(rare()).await.unwrap_err();
    assert_eq!(error.status().map(|status| status.as_u16()), Some(500), "the attempt's result");
    assert_eq!(server.journal().len(), 1, "no second attempt was permitted");
    let error = client().send(rare()).await.unwrap_err();
    assert!(matches!(error, Error::Overload(_)), "{error:?}");
    // Another interface has its own limit.
    client().send(list()).await.unwrap();
}

/// No second contains more requests than the limit allows. The clock is paused until all permitted requests
/// have arrived, so a busy machine neither spreads nor bunches them.
#[tokio::test(start_paused = true)]
async fn terminating_plans_keeps_to_the_documented_limit() {
    const SECOND: Duration = Duration::from_secs(1);
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let wechat_pay = WechatPay::builder().on_request({
        let arrived = Arc::clone(&arrived);
        move |_| arrived.lock().unwrap().push(Instant::now())
    });
    let server = WireServer::builder().wechat_pay(wechat_pay.build()).start().await.unwrap();
    let signer = CountingSigner { signer: server.signer(), begun: Arc::default() };
    let begun = Arc::clone(&signer.begun);
    let client = Client::builder(server.mchid(), signer, server.key_ring())
        .base_url(BaseUrl::new(server.base_url()).unwrap())
        .proxy(Proxy::none())
        .retry(NoRetry)
        .build()
        .unwrap();
    let plans = DeliveryPlans::new(client);
    let mut calls = JoinSet::new();
    for n in 0..250 {
        let plan_id = format!("p{n}");
        server.add_plan(Plan::new(&plan_id, "1004"));
        let plans = plans.clone();
        calls.spawn(async move { plans.terminate(&wxpay_tests::plan_id(&plan_id)).await });
    }
    let mut ended = 0;
    while ended < 250 {
        // Let every permitted call proceed.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        until_at_this_time(|| arrived.lock().unwrap().len() == begun.load(Ordering::SeqCst)).await;
        while let Some(call) = calls.try_join_next() {
            call.unwrap().unwrap();
            ended += 1;
        }
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let arrived = arrived.lock().unwrap();
    assert_eq!((arrived.len(), server.executions()), (250, 250));
    let in_the_second_from =
        |from: Instant| arrived.iter().filter(|&&at| (from..from + SECOND).contains(&at)).count();
    let most = arrived.iter().map(|&from| in_the_second_from(from)).max();
    // Hardly fewer, which shows that the limit is measured and not the speed of the calls.
    assert!(most.is_some_and(|most| (90..=100).contains(&most)), "{most:?} in one second");
    // A tenth of them is sent at once.
    let at_once = arrived.iter().filter(|&&at| at == arrived[0]).count();
    assert_eq!(at_once, 10);
}

/// Signs like a file key and counts signatures: permitted calls sign immediately.
#[derive(Debug)]
struct CountingSigner {
    signer: FileKeySigner,
    begun: Arc<AtomicUsize>,
}

#[async_trait]
impl Signer for CountingSigner {
    fn algorithm(&self) -> Algorithm {
        self.signer.algorithm()
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.signer.sign(message).await
    }
}
