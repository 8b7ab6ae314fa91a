//! Limits the requests of one process.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter as Governor};
use tokio::time::Instant;

use crate::message::interface_limit::RateLimit;
use crate::rate_limit::keyed::Keyed;
use crate::rate_limit::turns::Turns;
use crate::rate_limit::{LimitKey, RateLimited, RateLimiter};

/// Limits the requests of this process, separately for each interface.
///
/// Never allows more requests in a second (or, if the limit is one per minute, in a minute) than the limit: a
/// tenth of it at once, the others evenly spread. Waiting requests proceed in order of arrival; one whose future is not polled is passed by the others.
///
/// If `n` processes share an `mchid`, give each its [`share_of`](Self::share_of), or use
/// `RedisRateLimiter` (feature `redis`).
pub struct InProcessRateLimiter {
    processes: NonZeroU32,
    queue: usize,
    keyed: Keyed<Interface>,
}

/// Default for how many requests may wait for each interface.
pub(crate) const QUEUE: usize = 1000;

/// The state of one interface of one caller.
struct Interface {
    interval: Duration,
    governor: Governor<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<std::time::Instant>>,
    /// The first in the queue has the turn.
    turns: Turns,
    queue: usize,
}

impl InProcessRateLimiter {
    /// Creates a limiter for a process that uses the limits alone.
    pub fn new() -> Self {
        Self { processes: NonZeroU32::MIN, queue: QUEUE, keyed: Keyed::default() }
    }

    /// Uses one `n`th of each limit, for one of `n` processes that share an `mchid`.
    #[must_use]
    pub fn share_of(mut self, processes: NonZeroU32) -> Self {
        self.processes = processes;
        self
    }

    /// Sets how many requests may wait for each interface. The default is 1000.
    #[must_use]
    pub fn queue(mut self, requests: usize) -> Self {
        self.queue = requests;
        self
    }
}

impl Default for InProcessRateLimiter {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl RateLimiter for InProcessRateLimiter {
    async fn acquire(&self, key: LimitKey<'_>, left: Duration) -> Result<(), RateLimited> {
        let make = || Interface::new(key.limit, self.processes, self.queue);
        self.keyed.state(key, make).acquire(left).await
    }
}

impl fmt::Debug for InProcessRateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessRateLimiter")
            .field("processes", &self.processes)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

impl Interface {
    fn new(limit: RateLimit, processes: NonZeroU32, queue: usize) -> Self {
        let (burst, interval) = spread(limit, processes);
        #[expect(clippy::expect_used, reason = "the interval is at least a nanosecond")]
        let quota = Quota::with_period(interval).expect("an interval").allow_burst(burst);
        Self {
            interval,
            governor: Governor::direct_with_clock(quota, TokioClock),
            turns: Turns::new(1, interval),
            queue,
        }
    }

    async fn acquire(&self, left: Duration) -> Result<(), RateLimited> {
        // Do not overtake waiting requests.
        if self.turns.is_idle() && self.governor.check().is_ok() {
            return Ok(());
        }
        let turn = self.turns.enter(|ahead| self.admit(ahead.holding + ahead.waiting, left))?;
        let deadline = Instant::now().checked_add(left);
        loop {
            turn.wait().await;
            let Err(not_yet) = self.governor.check() else { return Ok(()) };
            let wait = not_yet.wait_time_from(TokioClock.now());
            if deadline.is_some_and(|deadline| Instant::now() + wait >= deadline) {
                return Err(RateLimited { retry_after: wait });
            }
            turn.keep_until(Instant::now() + wait);
            tokio::time::sleep(wait).await;
        }
    }

    fn admit(&self, before: usize, left: Duration) -> Result<(), RateLimited> {
        if before >= self.queue {
            return Err(self.limited(self.queue));
        }
        if self.interval.saturating_mul(count(before)) >= left {
            return Err(self.limited(before));
        }
        Ok(())
    }

    fn limited(&self, before: usize) -> RateLimited {
        RateLimited { retry_after: self.interval.saturating_mul(count(before).max(1)) }
    }
}

pub(crate) fn count(requests: usize) -> u32 {
    u32::try_from(requests).unwrap_or(u32::MAX)
}

/// Returns how many requests may be sent at once, and the interval between further ones, so that no second or minute
/// has more than the share of the limit.
pub(crate) fn spread(limit: RateLimit, processes: NonZeroU32) -> (NonZeroU32, Duration) {
    let requests = limit.requests().get();
    let burst = (requests / processes.get() / 10).max(1);
    // Of the spread requests in a period, one is at its very beginning.
    let steady = f64::from(requests) / f64::from(processes.get()) - f64::from(burst - 1);
    let interval = limit.period().div_f64(steady).max(Duration::from_nanos(1));
    (NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN), interval)
}

/// The clock of tokio, which tests can pause.
#[derive(Debug, Clone)]
struct TokioClock;

impl Clock for TokioClock {
    type Instant = std::time::Instant;

    fn now(&self) -> Self::Instant {
        Instant::now().into_std()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Waker};

    use tokio::time::timeout;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn key(operation: &'static str, per_second: u32) -> LimitKey<'static> {
        let limit = RateLimit::per_second(per_second);
        LimitKey { identity: "1900007291", operation, limit }
    }

    /// Sends `n` requests as fast as allowed; returns when each one was sent.
    async fn times(limiter: &InProcessRateLimiter, per_second: u32, n: u32) -> Vec<Duration> {
        let start = Instant::now();
        let mut times = Vec::new();
        for _ in 0..n {
            limiter.acquire(key("x", per_second), MINUTE).await.unwrap();
            times.push(start.elapsed());
        }
        times
    }

    #[tokio::test(start_paused = true)]
    async fn in_no_second_there_are_more_than_the_limit() {
        for (limit, processes) in [(100, 1), (100, 7), (10, 1), (1, 1), (1, 4), (5000, 3)] {
            let processes = NonZeroU32::new(processes).unwrap();
            let limiter = InProcessRateLimiter::new().share_of(processes);
            let n = (3 * limit / processes.get()).max(3);
            let times = times(&limiter, limit, n).await;
            let share = f64::from(limit) / f64::from(processes.get());
            let most = times
                .iter()
                .map(|from| {
                    let second = *from..*from + Duration::from_millis(999);
                    count(times.iter().filter(|&time| second.contains(time)).count())
                })
                .max();
            assert!(
                f64::from(most.unwrap()) <= share.max(1.0).ceil(),
                "{limit}/{processes}: {most:?}"
            );
            // And hardly fewer.
            let rate = f64::from(n) / times.last().unwrap().as_secs_f64();
            assert!(rate >= share * 0.8, "{limit}/{processes}: {rate}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_no_minute_there_are_more_than_the_limit() {
        for (limit, processes) in [(900, 1), (900, 7), (60, 1), (3, 1), (1, 1), (1, 4)] {
            let processes = NonZeroU32::new(processes).unwrap();
            let limiter = InProcessRateLimiter::new().share_of(processes);
            let key = LimitKey { limit: RateLimit::per_minute(limit), ..key("x", 1) };
            let (start, mut times) = (Instant::now(), Vec::new());
            let n = (3 * limit / processes.get()).max(3);
            for _ in 0..n {
                limiter.acquire(key, 10 * MINUTE).await.unwrap();
                times.push(start.elapsed());
            }
            let share = f64::from(limit) / f64::from(processes.get());
            let in_minute = |from: &Duration| {
                let minute = *from..*from + Duration::from_millis(59_999);
                count(times.iter().filter(|&time| minute.contains(time)).count())
            };
            let most = times.iter().map(in_minute).max().unwrap();
            let case = format!("{limit}/{processes}: {most}");
            assert!(f64::from(most) <= share.max(1.0).ceil(), "{case}");
            // And hardly fewer.
            let rate = f64::from(n) / (times.last().unwrap().as_secs_f64() / 60.0);
            assert!(rate >= share * 0.8, "{case}, {rate}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_per_minute_is_not_one_per_second() {
        let limiter = InProcessRateLimiter::new();
        let key = LimitKey { limit: RateLimit::per_minute(1), ..key("x", 1) };
        limiter.acquire(key, MINUTE).await.unwrap();
        let refused = limiter.acquire(key, Duration::from_secs(30)).await.unwrap_err();
        assert!(refused.retry_after > Duration::from_secs(59), "{refused:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn interfaces_do_not_hold_each_other_up() {
        let limiter = InProcessRateLimiter::new();
        let start = Instant::now();
        for operation in ["a", "b", "c"] {
            limiter.acquire(key(operation, 1), MINUTE).await.unwrap();
        }
        let other = LimitKey { identity: "1900000001", ..key("a", 1) };
        limiter.acquire(other, MINUTE).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        limiter.acquire(key("a", 1), MINUTE).await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(999), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_for_too_long_is_told_so_at_once() {
        let limiter = InProcessRateLimiter::new();
        limiter.acquire(key("x", 1), MINUTE).await.unwrap();
        let start = Instant::now();
        let left = Duration::from_millis(500);
        let refused = limiter.acquire(key("x", 1), left).await.unwrap_err();
        assert!(refused.retry_after > left && refused.retry_after <= Duration::from_secs(1));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn they_go_in_the_order_in_which_they_came_and_too_many_are_refused() {
        let limiter = Arc::new(InProcessRateLimiter::new().queue(3));
        limiter.acquire(key("x", 10), MINUTE).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..5)
            .map(|n| {
                let (limiter, order) = (Arc::clone(&limiter), Arc::clone(&order));
                tokio::spawn(async move {
                    let ended = limiter.acquire(key("x", 10), MINUTE).await;
                    order.lock().unwrap().push(n);
                    ended
                })
            })
            .collect();
        let mut refused = Vec::new();
        for (n, task) in tasks.into_iter().enumerate() {
            if task.await.unwrap().is_err() {
                refused.push(n);
            }
        }
        assert_eq!(refused, [3, 4]);
        assert_eq!(*order.lock().unwrap(), [3, 4, 0, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_leaves_its_turn_to_the_next() {
        let limiter = Arc::new(InProcessRateLimiter::new());
        limiter.acquire(key("x", 1), MINUTE).await.unwrap();
        let waits = {
            let limiter = Arc::clone(&limiter);
            tokio::spawn(async move { limiter.acquire(key("x", 1), MINUTE).await })
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        waits.abort();
        assert!(waits.await.unwrap_err().is_cancelled());
        let start = Instant::now();
        limiter.acquire(key("x", 1), MINUTE).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }

    /// Begins to wait, and is not polled after that.
    fn begin<'l>(
        limiter: &'l InProcessRateLimiter,
        per_second: u32,
    ) -> Pin<Box<dyn Future<Output = Result<(), RateLimited>> + Send + 'l>> {
        let mut waits = limiter.acquire(key("x", per_second), MINUTE);
        assert!(waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        waits
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_polled_holds_nobody_up() {
        let limiter = InProcessRateLimiter::new();
        limiter.acquire(key("x", 1), MINUTE).await.unwrap();
        let mut sleeping: Vec<_> = (0..5).map(|_| begin(&limiter, 1)).collect();
        let start = Instant::now();
        for second in 1..=3 {
            let waits = limiter.acquire(key("x", 1), Duration::from_secs(30));
            assert_eq!(timeout(MINUTE, waits).await, Ok(Ok(())));
            // The turns of five were waited for, once.
            let late = start.elapsed().saturating_sub(Duration::from_secs(second));
            assert!(late <= Duration::from_millis(650), "{late:?}");
        }
        // A call with little time is not refused for their sake.
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(limiter.acquire(key("x", 1), Duration::from_millis(10)).await, Ok(()));
        // All at once, they still keep to the limit.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let start = Instant::now();
        let mut times = Vec::new();
        for sleeper in &mut sleeping {
            sleeper.await.unwrap();
            times.push(start.elapsed().as_millis() / 1000);
        }
        assert_eq!(times, [0, 1, 2, 3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_were_passed_and_others_keep_to_the_limit_together() {
        let limiter = Arc::new(InProcessRateLimiter::new());
        let start = Instant::now();
        limiter.acquire(key("x", 10), MINUTE).await.unwrap();
        let sleeping: Vec<_> = (0..7).map(|_| begin(&limiter, 10)).collect();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let times = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (limiter, times) = (Arc::clone(&limiter), Arc::clone(&times));
                tokio::spawn(async move {
                    limiter.acquire(key("x", 10), MINUTE).await.unwrap();
                    times.lock().unwrap().push(start.elapsed());
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        for sleeper in sleeping {
            sleeper.await.unwrap();
            times.lock().unwrap().push(start.elapsed());
        }
        for task in tasks {
            task.await.unwrap();
        }
        let mut times = times.lock().unwrap().clone();
        times.sort_unstable();
        assert_eq!(times.len(), 27);
        let gaps = times.windows(2).map(|pair| pair[1].abs_diff(pair[0]));
        assert!(gaps.clone().all(|gap| gap >= Duration::from_millis(99)), "{times:?}");
        assert!(gaps.max() <= Some(Duration::from_millis(201)), "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn each_limit_for_an_interface_is_kept_when_they_take_turns() {
        let limiter = InProcessRateLimiter::new();
        let start = Instant::now();
        for _ in 0..3 {
            limiter.acquire(key("x", 1), MINUTE).await.unwrap();
            limiter.acquire(key("x", 2), MINUTE).await.unwrap();
        }
        assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    }

    /// Each caller holds the turn for a moment.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn without_a_queue_nobody_is_refused_while_there_is_room() {
        let limiter = Arc::new(InProcessRateLimiter::new().queue(0));
        let barrier = Arc::new(tokio::sync::Barrier::new(8));
        for round in 0..200_u32 {
            let tasks = (0..8).map(|_| {
                let (limiter, barrier) = (Arc::clone(&limiter), Arc::clone(&barrier));
                tokio::spawn(async move {
                    let operation = format!("x{round}");
                    let key = LimitKey { operation: &operation, ..key("", 1000) };
                    barrier.wait().await;
                    limiter.acquire(key, MINUTE).await
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                assert_eq!(task.await.unwrap(), Ok(()));
            }
        }
    }
}
