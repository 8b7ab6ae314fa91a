//! Limiters on a Redis server, and what they let through.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wxpay_tests::redis_server::RedisServer;
use wxpay_transport::{LimitKey, RateLimit, RateLimiter, RedisRateLimiter};

/// Safety timeout for events on busy machines.
pub(super) const SAFETY: Duration = Duration::from_secs(120);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// The key of `key("x", 10)`.
pub(super) const KEY: &str = "wxpay:rate:{1900007291}:x:10/1s";
pub(super) const SCRIPT: &str =
    include_str!("../../crates/wxpay-transport/src/rate_limit/redis/reserve.lua");

pub(super) fn key(operation: &'static str, per_second: u32) -> LimitKey<'static> {
    let limit = RateLimit::per_second(per_second);
    LimitKey::new("1900007291", operation, limit)
}

/// Returns the limiter of one of this many processes. Its response timeout is long enough for a busy machine.
pub(super) fn patient(url: &str, processes: u32) -> Arc<RedisRateLimiter> {
    let limiter = RedisRateLimiter::new(url, NonZeroU32::new(processes).unwrap()).unwrap();
    Arc::new(limiter.response_timeout(SAFETY))
}

/// A permitted request. Its slot lies between the two times, even if this process was delayed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passage {
    pub(super) asked: Instant,
    pub(super) granted: Instant,
}

pub(super) async fn pass(limiter: &RedisRateLimiter, key: LimitKey<'_>) -> Passage {
    let asked = Instant::now();
    let acquired = tokio::time::timeout(SAFETY, limiter.acquire(key, MINUTE));
    acquired.await.expect("nothing hangs").expect("no caller waits for a minute");
    Passage { asked, granted: Instant::now() }
}

/// Returns how many slots are certain to lie in one second. It never counts too many, however slow this
/// machine is; since callers wait a tenth of a second for each slot, it misses few.
pub(super) fn most_in_a_second(passages: &[Passage]) -> usize {
    let in_second = |from: Instant| {
        let to = from + Duration::from_secs(1);
        passages.iter().filter(|p| p.asked >= from && p.granted < to).count()
    };
    passages.iter().map(|passage| in_second(passage.asked)).max().unwrap_or(0)
}

/// Returns the content of the key when slots are reserved for this many seconds.
pub(super) fn taken_for(server: &RedisServer, seconds: u64) -> String {
    let now = micros(server);
    format!("{} {now}", now + 1_000_000 * seconds)
}

pub(super) fn micros(server: &RedisServer) -> u64 {
    server
        .run(&[
            "EVAL",
            "local t = redis.call('TIME') return t[1]..string.format('%06d', t[2])",
            "0",
        ])
        .parse()
        .unwrap()
}

/// Returns a limiter that queries again immediately after a failure.
pub(super) fn restless(url: &str, processes: u32) -> RedisRateLimiter {
    Arc::into_inner(patient(url, processes)).unwrap().rest(Duration::ZERO)
}

/// Returns the next slot of `key("x", 10)`.
pub(super) fn tat(server: &RedisServer) -> u64 {
    tat_of(server, KEY)
}

pub(super) fn tat_of(server: &RedisServer, key: &str) -> u64 {
    let stored = server.run(&["GET", key]);
    stored.split(' ').next().and_then(|tat| tat.parse().ok()).expect("a number")
}
