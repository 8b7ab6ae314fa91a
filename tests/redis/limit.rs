//! One limit for several processes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use wxpay_testing::WireServer;
use wxpay_tests::builder;
use wxpay_tests::redis_server::RedisServer;
use wxpay_transport::{Error, LimitKey, RateLimit, RateLimiter, Request, Target, Transport};

use super::limiter::{
    KEY, MINUTE, SECOND, key, micros, most_in_a_second, pass, patient, taken_for, tat_of,
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: run scripts/test"]
async fn several_processes_together_keep_the_limit_and_use_it() {
    let server = RedisServer::start();
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let limiter = patient(&server.url(), 4);
        for _ in 0..2 {
            let limiter = Arc::clone(&limiter);
            callers.spawn(async move {
                let mut passages = Vec::new();
                for _ in 0..40 {
                    passages.push(pass(&limiter, key("x", 100)).await);
                }
                assert!(!limiter.is_degraded());
                passages
            });
        }
    }
    let passages = callers.join_all().await.concat();
    let most = most_in_a_second(&passages);
    assert!(most <= 100, "{most}");
    // All slots lie between the first query and the last response: 10 at once, 91 a second.
    let first = passages.iter().map(|p| p.asked).min().unwrap();
    let last = passages.iter().map(|p| p.granted).max().unwrap();
    let seconds = (last - first).as_secs_f64();
    assert!(320.0 <= 10.0 + 91.0 * seconds + 1.0, "320 in {seconds} s");
    // And not much fewer, unless the machine is extremely busy.
    assert!(320.0 >= 40.0 * seconds, "320 in {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: run scripts/test"]
async fn one_process_uses_what_the_others_leave() {
    let server = RedisServer::start();
    let limiter = patient(&server.url(), 100);
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let limiter = Arc::clone(&limiter);
        callers.spawn(async move {
            for _ in 0..5 {
                pass(&limiter, key("x", 100)).await;
            }
        });
    }
    callers.join_all().await;
    // With its share of one per second it would take 99 s.
    assert!(start.elapsed() < Duration::from_secs(50), "{:?}", start.elapsed());
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_limit_per_minute_is_spread_over_the_minute() {
    let server = RedisServer::start();
    let limiter = patient(&server.url(), 2);
    let limited = |requests| LimitKey::new("1900007291", "x", RateLimit::per_minute(requests));
    let before = micros(&server);
    pass(&limiter, limited(60)).await;
    let after = micros(&server);
    // 6 at once, and the other 54 in the rest of the minute, the first of them at its beginning.
    let interval = 60_000_000 / 55;
    let next = tat_of(&server, "wxpay:rate:{1900007291}:x:60/60s");
    assert!((before + interval..=after + interval + 1).contains(&next), "{before} {next} {after}");
    // Another limit has another key.
    let limiter = patient(&server.url(), 2);
    pass(&limiter, limited(1)).await;
    let refused = limiter.acquire(limited(1), SECOND).await.unwrap_err();
    assert!(refused.retry_after > SECOND && refused.retry_after <= MINUTE, "{refused:?}");
    assert!(!limiter.is_degraded());
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn keys_are_independent_and_expire() {
    let server = RedisServer::start();
    let limiter = patient(&server.url(), 1);
    pass(&limiter, key("x", 10)).await;
    // A request for this key would have to wait.
    let taken = taken_for(&server, 50);
    server.run(&["SET", KEY, &taken, "KEEPTTL"]);
    pass(&limiter, key("y", 10)).await;
    pass(&limiter, LimitKey::new("1900000001", "x", key("x", 10).limit)).await;
    pass(&limiter, key("x", 20)).await;
    assert_eq!(server.run(&["GET", KEY]), taken);
    for key in [
        KEY,
        "wxpay:rate:{1900007291}:x:20/1s",
        "wxpay:rate:{1900007291}:y:10/1s",
        "wxpay:rate:{1900000001}:x:10/1s",
    ] {
        let expiry: i64 = server.run(&["PTTL", key]).parse().unwrap();
        assert!((1..=62_000).contains(&expiry), "{key}: {expiry}");
    }
    assert_eq!(server.run(&["DBSIZE"]), "4");
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn who_would_wait_for_too_long_is_told_so_and_reserves_nothing() {
    let server = RedisServer::start();
    let taken = taken_for(&server, 60);
    server.run(&["SET", KEY, &taken]);
    let limiter = patient(&server.url(), 1);
    let refused = limiter.acquire(key("x", 10), SECOND).await.unwrap_err();
    assert!(refused.retry_after > SECOND && refused.retry_after <= MINUTE, "{refused:?}");
    assert_eq!(server.run(&["GET", KEY]), taken);
    assert!(!limiter.is_degraded());
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_clock_that_was_set_back_stops_nobody() {
    let server = RedisServer::start();
    let later = micros(&server) + 3_600_000_000;
    for stored in [format!("{} {later}", later + 5), "something else".to_owned()] {
        let limiter = patient(&server.url(), 1);
        server.run(&["SET", KEY, &stored]);
        limiter.acquire(key("x", 10), Duration::from_secs(1)).await.unwrap();
        assert!(!limiter.is_degraded());
        assert_ne!(server.run(&["GET", KEY]), stored);
    }
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn the_script_is_loaded_again() {
    let server = RedisServer::start();
    let limiter = patient(&server.url(), 1);
    let mut before = String::new();
    for _ in 0..3 {
        pass(&limiter, key("x", 10)).await;
        let after = server.run(&["GET", KEY]);
        assert_ne!(after, before, "Redis was queried");
        before = after;
        assert_eq!(server.run(&["SCRIPT", "FLUSH"]), "OK");
    }
    assert!(!limiter.is_degraded());
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn clients_with_it_send_what_the_limit_lets_through() {
    let server = RedisServer::start();
    let wechat_pay = WireServer::start_plain().await;
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let client = builder(&wechat_pay, &wechat_pay.base_url());
            client.rate_limiter(patient(&server.url(), 2)).build().unwrap()
        })
        .collect();
    let target = Target::new("/v3/marketing/partner/delivery-plan/delivery-plans").unwrap();
    let request = |per_second| {
        let target = target.clone().segment("1004").unwrap().segment("delivery-plans").unwrap();
        Request::get("plans", target).with_rate_limit(RateLimit::per_second(per_second))
    };
    for _ in 0..5 {
        for client in &clients {
            client.send(request(50)).await.unwrap();
        }
    }
    assert_eq!(wechat_pay.journal().len(), 10);
    let key = format!("wxpay:rate:{{{}}}:plans:50/1s", wechat_pay.mchid().as_str());
    server.run(&["SET", &key, &taken_for(&server, 60)]);
    for client in &clients {
        let error = client.send(request(50)).await.unwrap_err();
        assert!(matches!(error, Error::Overload(_)), "{error:?}");
    }
    assert_eq!(wechat_pay.journal().len(), 10, "nothing was sent");
}
