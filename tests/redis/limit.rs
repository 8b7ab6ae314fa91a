//! A rate limit shared by several processes on a real Redis server.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tracing_subscriber::filter::LevelFilter;
use wxpay_testing::WireServer;
use wxpay_tests::black_hole::{BlackHole, mute};
use wxpay_tests::builder;
use wxpay_tests::log::Log;
use wxpay_tests::redis_server::{RedisServer, free_port};
use wxpay_tests::switchboard::Switchboard;
use wxpay_tests::until::until;
use wxpay_transport::rustls::pki_types::PrivateKeyDer;
use wxpay_transport::rustls::{ClientConfig, RootCertStore, crypto};
use wxpay_transport::{
    Error, LimitKey, RateLimit, RateLimiter, RedisRateLimiter, Request, Target, Transport,
};

/// Safety timeout for events on busy machines.
const SAFETY: Duration = Duration::from_secs(120);
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const KEY: &str = "wxpay:rate:{1900007291}:x";
const SCRIPT: &str = include_str!("../../crates/wxpay-transport/src/rate_limit/redis/reserve.lua");

fn key(operation: &'static str, per_second: u32) -> LimitKey<'static> {
    let limit = RateLimit::per_second(per_second);
    LimitKey::new("1900007291", operation, limit)
}

/// Returns the limiter of one of this many processes. Its response timeout is long enough for a busy machine.
fn patient(url: &str, processes: u32) -> Arc<RedisRateLimiter> {
    let limiter = RedisRateLimiter::new(url, NonZeroU32::new(processes).unwrap()).unwrap();
    Arc::new(limiter.response_timeout(SAFETY))
}

/// A permitted request. Its slot lies between the two times, even if this process was delayed.
#[derive(Debug, Clone, Copy)]
struct Passage {
    asked: Instant,
    granted: Instant,
}

async fn pass(limiter: &RedisRateLimiter, key: LimitKey<'_>) -> Passage {
    let asked = Instant::now();
    let acquired = tokio::time::timeout(SAFETY, limiter.acquire(key, MINUTE));
    acquired.await.expect("nothing hangs").expect("no caller waits for a minute");
    Passage { asked, granted: Instant::now() }
}

/// Returns how many slots are certain to lie in one second. It never counts too many, however slow this
/// machine is; since callers wait a tenth of a second for each slot, it misses few.
fn most_in_a_second(passages: &[Passage]) -> usize {
    let in_second = |from: Instant| {
        let to = from + Duration::from_secs(1);
        passages.iter().filter(|p| p.asked >= from && p.granted < to).count()
    };
    passages.iter().map(|passage| in_second(passage.asked)).max().unwrap_or(0)
}

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
async fn keys_are_independent_and_expire() {
    let server = RedisServer::start();
    let limiter = patient(&server.url(), 1);
    pass(&limiter, key("x", 1)).await;
    // A request for this key would have to wait.
    let taken = taken_for(&server, 50);
    server.run(&["SET", KEY, &taken, "KEEPTTL"]);
    pass(&limiter, key("y", 1)).await;
    pass(&limiter, LimitKey::new("1900000001", "x", key("x", 1).limit)).await;
    assert_eq!(server.run(&["GET", KEY]), taken);
    for key in [KEY, "wxpay:rate:{1900007291}:y", "wxpay:rate:{1900000001}:x"] {
        let expiry: i64 = server.run(&["PTTL", key]).parse().unwrap();
        assert!((1..=62_000).contains(&expiry), "{key}: {expiry}");
    }
    assert_eq!(server.run(&["DBSIZE"]), "3");
}

/// Returns the content of the key when slots are reserved for this many seconds.
fn taken_for(server: &RedisServer, seconds: u64) -> String {
    let now = micros(server);
    format!("{} {now}", now + 1_000_000 * seconds)
}

fn micros(server: &RedisServer) -> u64 {
    server
        .run(&[
            "EVAL",
            "local t = redis.call('TIME') return t[1]..string.format('%06d', t[2])",
            "0",
        ])
        .parse()
        .unwrap()
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

/// Returns a limiter that queries again immediately after a failure.
fn restless(url: &str, processes: u32) -> RedisRateLimiter {
    Arc::into_inner(patient(url, processes)).unwrap().rest(Duration::ZERO)
}

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

/// Returns the content of the key.
fn tat(server: &RedisServer) -> u64 {
    let stored = server.run(&["GET", KEY]);
    stored.split(' ').next().and_then(|tat| tat.parse().ok()).expect("a number")
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
    server.run(&["DEL", KEY]);
    go_on(10).await;
    assert_ne!(server.run(&["GET", KEY]), "", "places are reserved there again");
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
async fn a_password_is_given_and_never_shown() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber);
    let server = RedisServer::start_with(&["--requirepass", "pa55:w@rd"]);
    let host = format!("127.0.0.1:{}", server.port());

    let knows_it = patient(&format!("redis://:pa55%3Aw%40rd@{host}"), 1);
    pass(&knows_it, key("x", 1000)).await;
    assert!(!knows_it.is_degraded());
    for (url, why) in [
        (format!("redis://:pa55other@{host}"), "authentication failed"),
        (format!("redis://user:pa55other@{host}"), "authentication failed"),
        (format!("redis://{host}"), "NOAUTH"),
    ] {
        let limiter = Arc::into_inner(patient(&url, 1)).unwrap().rest(Duration::ZERO);
        let before = log.text().matches(" WARN ").count();
        for _ in 0..10 {
            pass(&limiter, key("x", 1000)).await;
        }
        assert!(limiter.is_degraded(), "{why}");
        let text = log.text();
        assert_eq!(text.matches(" WARN ").count(), before + 1, "one line in total: {text}");
        assert!(
            text.lines().rev().any(|line| line.contains(" WARN ") && line.contains(why)),
            "{text}"
        );
        assert!(!format!("{limiter:?} {limiter:#?}").contains("pa55"), "{limiter:?}");
    }
    assert!(!log.text().contains("pa55"), "{}", log.text());
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

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn tls_is_spoken_and_the_server_is_verified() {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let directory = std::env::temp_dir().join(format!("wxpay-redis-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (certificate, private_key) = (directory.join("tls.pem"), directory.join("tls.key"));
    std::fs::write(&certificate, pair.cert.pem()).unwrap();
    std::fs::write(&private_key, pair.signing_key.serialize_pem()).unwrap();
    assert!(PrivateKeyDer::try_from(pair.signing_key.serialize_der()).is_ok());
    let port = free_port().to_string();
    let (certificate, private_key) = (certificate.to_str().unwrap(), private_key.to_str().unwrap());
    let server = RedisServer::start_with(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        certificate,
        "--tls-key-file",
        private_key,
        "--tls-ca-cert-file",
        certificate,
        "--tls-auth-clients",
        "no",
    ]);
    let mut roots = RootCertStore::empty();
    roots.add(pair.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let url = format!("rediss://localhost:{port}");
    let trusting = Arc::into_inner(patient(&url, 1)).unwrap().tls(config).unwrap();
    pass(&trusting, key("x", 10)).await;
    assert!(!trusting.is_degraded());
    assert_eq!(server.run(&["DBSIZE"]), "1");
    // The platform does not trust this authority.
    let by_default = patient(&url, 1);
    pass(&by_default, key("y", 10)).await;
    assert!(by_default.is_degraded());
    assert_eq!(server.run(&["DBSIZE"]), "1");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn an_address_that_says_nothing_keeps_nobody_from_the_others() {
    let server = RedisServer::start();
    let local = |last| IpAddr::from([127, 0, 0, last]);
    let _silent = BlackHole::at(local(2), server.port());
    let taken = mute((local(3), server.port()).into()).await;
    let board = Switchboard::default();
    board.connect_all("redis.example", &[local(2), local(3), local(1)]);
    let url = format!("redis://redis.example:{}", server.port());
    let limiter = Arc::into_inner(patient(&url, 1)).unwrap().resolver(board).rest(Duration::ZERO);
    let reached = async {
        while server.run(&["DBSIZE"]) != "1" {
            pass(&limiter, key("x", 1000)).await;
        }
    };
    tokio::time::timeout(SAFETY, reached).await.expect("the last address is reached");
    let before = taken.load(Ordering::Relaxed);
    assert!(before >= 1);

    // The next connection starts with the working address.
    server.run(&["CLIENT", "KILL", "TYPE", "normal"]);
    server.run(&["FLUSHALL"]);
    let reached = async {
        while server.run(&["DBSIZE"]) != "1" {
            pass(&limiter, key("y", 1000)).await;
        }
    };
    tokio::time::timeout(SAFETY, reached).await.expect("it is reached again");
    assert_eq!(taken.load(Ordering::Relaxed), before);
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
    let key = format!("wxpay:rate:{{{}}}:plans", wechat_pay.mchid().as_str());
    server.run(&["SET", &key, &taken_for(&server, 60)]);
    for client in &clients {
        let error = client.send(request(50)).await.unwrap_err();
        assert!(matches!(error, Error::Overload(_)), "{error:?}");
    }
    assert_eq!(wechat_pay.journal().len(), 10, "nothing was sent");
}
