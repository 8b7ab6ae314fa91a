//! A server that is away, hangs, has no scripts, or comes back.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use wxpay_tests::log::Log;
use wxpay_tests::redis_server::RedisServer;
use wxpay_tests::until::until;
use wxpay_transport::RedisRateLimiter;

use super::limiter::{Passage, key, most_in_a_second, pass, patient, restless};

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_server_without_scripts_costs_nothing_but_the_share() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    let server = RedisServer::start_with(&["--rename-command", "EVALSHA", "none"]);
    let limiter = restless(&server.url(), 4);
    let mut passages = Vec::new();
    for _ in 0..8 {
        passages.push(pass(&limiter, key("x", 16)).await);
    }
    assert!(limiter.is_degraded());
    assert!(most_in_a_second(&passages) <= 4, "{passages:?}");
    assert_eq!(server.run(&["DBSIZE"]), "0");
    let text = log.text();
    assert_eq!(text.matches(" WARN ").count(), 1, "{text}");
    assert!(text.contains("the response was an error: ERR"), "{text}");
}

/// Loses Redis while requests are in progress, then restores it.
async fn lost_and_back(
    lose: impl FnOnce(&mut RedisServer),
    bring_back: impl FnOnce(&mut RedisServer),
) {
    let mut server = RedisServer::start();
    let limiters: Vec<_> = (0..2)
        .map(|_| {
            let limiter =
                RedisRateLimiter::new(&server.url(), NonZeroU32::new(2).unwrap()).unwrap();
            let limiter = limiter.response_timeout(Duration::from_millis(500));
            Arc::new(limiter.rest(Duration::from_millis(50)))
        })
        .collect();
    let ends = Arc::new(AtomicBool::new(false));
    let counts: Vec<_> = limiters.iter().map(|_| Arc::new(AtomicUsize::new(0))).collect();
    let mut load: Vec<JoinSet<Vec<Passage>>> = limiters.iter().map(|_| JoinSet::new()).collect();
    for ((limiter, count), load) in limiters.iter().zip(&counts).zip(&mut load) {
        for _ in 0..3 {
            let (limiter, count, ends) =
                (Arc::clone(limiter), Arc::clone(count), Arc::clone(&ends));
            load.spawn(async move {
                let mut passages = Vec::new();
                while !ends.load(Ordering::Relaxed) {
                    passages.push(pass(&limiter, key("x", 20)).await);
                    count.fetch_add(1, Ordering::Relaxed);
                }
                passages
            });
        }
    }
    let go_on = |more: usize| {
        let (counts, before): (Vec<_>, Vec<_>) =
            counts.iter().map(|c| (Arc::clone(c), c.load(Ordering::Relaxed))).unzip();
        async move {
            let all =
                || counts.iter().zip(&before).all(|(c, b)| c.load(Ordering::Relaxed) >= b + more);
            until("all continue", all).await;
        }
    };
    go_on(10).await;
    lose(&mut server);
    until("both know", || limiters.iter().all(|limiter| limiter.is_degraded())).await;
    let lost = Instant::now();
    go_on(20).await;
    let found = Instant::now();
    bring_back(&mut server);
    until("both have reconnected", || !limiters.iter().any(|limiter| limiter.is_degraded())).await;
    const STORED: &str = "wxpay:rate:{1900007291}:x:20/1s";
    server.run(&["DEL", STORED]);
    go_on(10).await;
    assert_ne!(server.run(&["GET", STORED]), "", "places are reserved there again");
    ends.store(true, Ordering::Relaxed);
    for load in load {
        // Each process may send 10 of the 20 on its own.
        let mut alone = load.join_all().await.concat();
        alone.retain(|passage| passage.asked >= lost && passage.granted <= found);
        assert!(alone.len() >= 10, "{}", alone.len());
        let most = most_in_a_second(&alone);
        assert!(most <= 10, "{most}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_server_that_is_killed_and_restarted_costs_nothing_but_the_share() {
    lost_and_back(RedisServer::kill, RedisServer::restart).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_server_that_hangs_costs_nothing_but_the_share() {
    lost_and_back(|server| server.freeze(), |server| server.thaw()).await;
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn it_is_said_once_that_it_is_back() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    let mut server = RedisServer::start();
    server.kill();
    let limiter = Arc::into_inner(patient(&server.url(), 1)).unwrap().rest(Duration::ZERO);
    for _ in 0..5 {
        pass(&limiter, key("x", 1000)).await;
    }
    server.restart();
    for _ in 0..5 {
        pass(&limiter, key("x", 1000)).await;
    }
    let text = log.text();
    let counts = (text.matches(" WARN ").count(), text.matches("is back").count());
    assert_eq!((counts, limiter.is_degraded()), ((1, 1), false), "{text}");
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_limiter_that_is_dropped_closes_its_connection() {
    let server = RedisServer::start();
    let connections = || {
        let info = server.run(&["INFO", "clients"]);
        let line = info.lines().find_map(|line| line.strip_prefix("connected_clients:"));
        line.and_then(|count| count.parse::<usize>().ok()).expect("a count")
    };
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let limiter = patient(&server.url(), 1);
    pass(&limiter, key("x", 10)).await;
    // This query counts as well.
    assert_eq!((connections(), tasks()), (2, 1));
    drop(limiter);
    until("the connection is closed", || connections() == 1).await;
    until("the task has ended", || tasks() == 0).await;
}
