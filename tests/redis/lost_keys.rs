//! A server that forgets, evicts or changes what was reserved.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;
use wxpay_tests::log::Log;
use wxpay_tests::redis_server::RedisServer;
use wxpay_transport::RateLimiter;

use super::limiter::{
    KEY, SCRIPT, SECOND, key, micros, most_in_a_second, pass, patient, restless, taken_for, tat,
};

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn what_cannot_be_under_the_key_is_reset_and_stops_nobody() {
    let server = RedisServer::start();
    let now = micros(&server);
    let endless = "9".repeat(400);
    for absurd in [
        format!("{} {now}", now + 1_000_000_000_000),
        format!("{} {now}", now + 3_600_000_000),
        format!("99999999999999999999 {now}"),
        format!("{endless} {now}"),
        format!("{endless} {endless}"),
    ] {
        for knows_better in [false, true] {
            server.run(&["DEL", KEY]);
            let limiter = restless(&server.url(), 1);
            if knows_better {
                pass(&limiter, key("x", 10)).await;
            }
            server.run(&["SET", KEY, &absurd]);
            limiter.acquire(key("x", 10), SECOND).await.expect("no caller is blocked");
            assert!(limiter.is_degraded(), "{absurd}");
            let ahead = tat(&server).saturating_sub(micros(&server));
            assert!(ahead <= 200_000, "{absurd}: {ahead}");
            limiter.acquire(key("x", 10), SECOND).await.expect("no caller is blocked");
            assert!(!limiter.is_degraded(), "{absurd}");
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_server_that_was_flushed_is_told_what_was_reserved() {
    let server = RedisServer::start();
    let taken = taken_for(&server, 60);
    let knows = restless(&server.url(), 1);
    // Another process may have written a smaller value by then.
    for lose in [&["FLUSHALL"][..], &["SET", KEY, "5 5"]] {
        server.run(&["SET", KEY, &taken]);
        assert!(knows.acquire(key("x", 10), SECOND).await.is_err());
        assert!(!knows.is_degraded());
        server.run(lose);
        knows.acquire(key("x", 10), SECOND).await.expect("the share");
        assert!(knows.is_degraded(), "{lose:?}");
        assert!(taken.starts_with(&tat(&server).to_string()), "{lose:?}: {}", tat(&server));
        // Other processes find the restored key, and obey it.
        let other = patient(&server.url(), 1);
        assert!(other.acquire(key("x", 10), SECOND).await.is_err());
        assert!(knows.acquire(key("x", 10), SECOND).await.is_err());
        assert!(!knows.is_degraded() && !other.is_degraded(), "{lose:?}");
    }
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn lost_keys_are_warned_of_once_and_other_losses_still() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    let mut server = RedisServer::start();
    let limiter = restless(&server.url(), 1);
    pass(&limiter, key("x", 1000)).await;
    for _ in 0..3 {
        server.run(&["FLUSHALL"]);
        for is_degraded in [true, false] {
            pass(&limiter, key("x", 1000)).await;
            assert_eq!(limiter.is_degraded(), is_degraded);
        }
    }
    let said = || {
        let text = log.text();
        (text.matches(" WARN ").count(), text.matches("is back").count())
    };
    assert_eq!(said(), (1, 1), "{}", log.text());
    assert!(log.text().contains("noeviction"), "{}", log.text());
    // This loss is not logged again; a different one is.
    server.run(&["FLUSHALL"]);
    pass(&limiter, key("x", 1000)).await;
    assert_eq!((said(), limiter.is_degraded()), ((1, 1), true), "{}", log.text());
    server.kill();
    for _ in 0..3 {
        pass(&limiter, key("x", 1000)).await;
    }
    assert_eq!(said(), (2, 1), "{}", log.text());
}

/// Runs the script directly; returns the first number of its reply, and the wait in milliseconds.
fn script(server: &RedisServer, known: (u64, u64)) -> (u64, u64) {
    let text = format!(
        "local function f()\n{SCRIPT}\nend local a = f() return a[1] .. ' ' .. math.floor(a[2] / 1000)"
    );
    let (next, seen) = (known.0.to_string(), known.1.to_string());
    let response = server.run(&[
        "EVAL",
        &text,
        "1",
        KEY,
        "100000",
        "0",
        "100000000",
        "70000000",
        &next,
        &seen,
    ]);
    let (what, wait) = response.split_once(' ').unwrap_or_else(|| panic!("{response}"));
    (what.parse().unwrap(), wait.parse().unwrap())
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_key_that_expired_or_moved_with_the_clock_is_not_lost() {
    let server = RedisServer::start();
    let now = micros(&server);
    let (before, later) = (now - 61_000_000, now + 3_600_000_000);
    // The key expired, or no process knows it.
    for known in [(0, 0), (before, before)] {
        server.run(&["DEL", KEY]);
        assert_eq!(script(&server, known), (1, 0), "{known:?}");
    }
    // The key did not expire.
    server.run(&["DEL", KEY]);
    assert_eq!(script(&server, (now - 50_000_000, now - 50_000_000)).0, 2);
    // The clock was set back, and another process has written since: its slots are shifted.
    server.run(&["SET", KEY, &taken_for(&server, 10)]);
    let (what, wait) = script(&server, (later + 5_000_000, later));
    assert!(what == 1 && (9_000..=10_000).contains(&wait), "{what} {wait}");
    // The same with all slots lost: the own slots are shifted.
    server.run(&["DEL", KEY]);
    assert_eq!(script(&server, (later + 5_000_000, later)).0, 2);
    let ahead = tat(&server) - micros(&server);
    assert!(ahead <= 5_000_000, "{ahead}");
}

/// Sends the permitted requests from four processes through a server that constantly evicts keys; returns the
/// maximum number of slots in a second, and the number of warnings.
async fn most_with_eviction(policy: &str) -> (usize, usize) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    let server =
        Arc::new(RedisServer::start_with(&["--maxmemory", "4mb", "--maxmemory-policy", policy]));
    let ends = Arc::new(AtomicBool::new(false));
    let fills = std::thread::spawn({
        let (server, ends) = (Arc::clone(&server), Arc::clone(&ends));
        move || {
            let value = "x".repeat(20_000);
            let mut number = 0;
            while !ends.load(Ordering::Relaxed) {
                number += 1;
                server.run(&["SET", &format!("f{number}"), &value, "EX", "3600"]);
            }
        }
    });
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let limiter = patient(&server.url(), 4);
        for _ in 0..4 {
            let limiter = Arc::clone(&limiter);
            callers.spawn(async move {
                let mut passages = Vec::new();
                for _ in 0..25 {
                    passages.push(pass(&limiter, key("x", 100)).await);
                }
                passages
            });
        }
    }
    let passages = callers.join_all().await.concat();
    ends.store(true, Ordering::Relaxed);
    fills.join().unwrap();
    let most = most_in_a_second(&passages);
    (most, log.text().matches("set maxmemory-policy to noeviction").count())
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_server_that_evicts_keys_does_not_undo_the_limit() {
    for policy in ["volatile-ttl", "allkeys-lru"] {
        // 100 from the shares; 10 from the first requests of the shared limit; and each process had made two
        // more queries before it noticed.
        let (most, warnings) = most_with_eviction(policy).await;
        assert!(most <= 118, "{policy}: {most}");
        assert!((1..=4).contains(&warnings), "{policy}: {warnings}");
    }
}
