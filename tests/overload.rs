//! More calls than there may be: so many run, so many wait, the others are told so.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use wxpay_marketing::DeliveryPlans;
use wxpay_testing::{ErrorBody, Fault, How, Misbehaviour, Plan, Point, WireServer};
use wxpay_tests::{builder, plan_id};
use wxpay_transport::{
    Backoff, Delivery, Error, InProcessRateLimiter, Limit, Outcome, Overload, RateLimit, Request,
    Stage, Target, Transport,
};

fn list() -> Request {
    let path = "/v3/marketing/partner/delivery-plan/delivery-plans/1004/delivery-plans";
    Request::get("delivery_plans.list", Target::new(path).unwrap())
}

async fn until(what: impl Fn() -> bool) {
    let becomes_true = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), becomes_true).await.expect("it happens");
}

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
    until(|| server.journal().len() == 2).await;
    for _ in 0..3 {
        let error = call().await.unwrap().unwrap_err();
        let Error::Overload(overload) = &error else { panic!("{error:?}") };
        assert_eq!(overload.overload(), Overload::Calls);
        assert_eq!((error.delivery(), error.outcome()), (Delivery::NotSent, Outcome::NotSent));
        assert!(error.may_retry());
    }
    assert_eq!(server.journal().len(), 2, "those who wait have sent nothing");
    // Whoever is dropped makes room: the next two get in.
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

#[tokio::test]
async fn waiting_for_a_turn_counts_towards_the_time_of_the_call() {
    let server = WireServer::start_plain().await;
    server.fault_once(Fault::new(Point::Executed, How::Stall));
    let client = builder(&server, &server.base_url())
        .max_concurrent_calls(1)
        .call_timeout(Duration::from_millis(700))
        .build()
        .unwrap();
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.send(list()).await }
    });
    until(|| server.journal().len() == 1).await;
    // It holds the only place for as long as it may.
    let (error, first) = tokio::join!(client.send(list()), first);
    let first = first.unwrap().unwrap_err();
    assert_eq!(first.outcome(), Outcome::Unknown);
    match error {
        // The place became free just before the time was over.
        Ok(_) => {}
        Err(Error::Timeout(timeout)) => {
            assert_eq!(timeout.limit(), Limit::Call);
            assert!(matches!(timeout.stage(), Stage::Queueing | Stage::Preparing | Stage::Waiting));
        }
        Err(error) => panic!("{error:?}"),
    }
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
    // Two seconds have room for two or three, and nobody waited in vain.
    assert!((2..=4).contains(&sent), "{sent} were sent");
    assert_eq!((sent + refused, server.journal().len()), (6, sent));
}

#[tokio::test]
async fn clients_may_share_a_limiter_and_each_attempt_counts() {
    let server = WireServer::start_plain().await;
    let limiter = Arc::new(InProcessRateLimiter::new().share_of(NonZeroU32::new(2).unwrap()));
    let client = || {
        builder(&server, &server.base_url())
            .rate_limiter(Arc::clone(&limiter))
            .retry(Backoff::new().first(Duration::from_millis(1)))
            .call_timeout(Duration::from_millis(900))
            .build()
            .unwrap()
    };
    // A share of one half of one request a second: the next one comes after two seconds.
    let rare = || list().with_rate_limit(RateLimit::per_second(1));
    let (body, signed) = (ErrorBody::json("SYSTEM_ERROR", "told to"), true);
    server.misbehave_once(Misbehaviour::Status { status: 500, body, signed, executed: false });
    let error = client().send(rare()).await.unwrap_err();
    assert_eq!(error.status().map(|status| status.as_u16()), Some(500), "what the attempt led to");
    assert_eq!(server.journal().len(), 1, "there was no room for a second attempt");
    let error = client().send(rare()).await.unwrap_err();
    assert!(matches!(error, Error::Overload(_)), "{error:?}");
    // Another interface has room.
    client().send(list()).await.unwrap();
}

#[tokio::test]
async fn terminating_plans_keeps_to_the_documented_limit() {
    let server = WireServer::start_plain().await;
    let times = Arc::new(std::sync::Mutex::new(Vec::new()));
    let client =
        builder(&server, &server.base_url()).audit(Signed(Arc::clone(&times))).build().unwrap();
    let plans = DeliveryPlans::new(client);
    let calls: Vec<_> = (0..150)
        .map(|n| {
            server.add_plan(Plan::new(format!("p{n}"), "1004"));
            let plans = plans.clone();
            tokio::spawn(async move { plans.terminate(&plan_id(&format!("p{n}"))).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let times = times.lock().unwrap();
    assert_eq!((times.len(), server.executions()), (150, 150));
    // 10 at once, and then one each 11 ms: 150 take longer than a second and a half.
    let took = times.last().unwrap().duration_since(times[0]);
    assert!(took >= Duration::from_millis(1400), "{took:?}");
}

/// Notes when requests ended.
#[derive(Debug)]
struct Signed(Arc<std::sync::Mutex<Vec<std::time::Instant>>>);

impl wxpay_transport::Audit for Signed {
    fn record(&self, _: &wxpay_transport::AuditRecord<'_>) {
        self.0.lock().unwrap().push(std::time::Instant::now());
    }
}
