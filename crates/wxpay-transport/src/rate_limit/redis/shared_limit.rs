//! A limit shared by several processes, in a store that may be lost.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::rate_limit::in_process::{InProcessRateLimiter, QUEUE, count, spread};
use crate::rate_limit::keyed::Keyed;
use crate::rate_limit::redis::health::{Asking, SharedHealth};
use crate::rate_limit::redis::lost::Lost;
use crate::rate_limit::redis::store::{Reach, SharedStore, Slot, Wanted};
use crate::rate_limit::turns::{Turn, Turns};
use crate::rate_limit::{LimitKey, RateLimited, RateLimiter};

/// Reserves slots in the store, and falls back to the share of this process while it is lost.
pub(crate) struct SharedLimit<S> {
    pub(crate) store: S,
    pub(crate) processes: NonZeroU32,
    /// Timeout of each query.
    pub(crate) response_timeout: Duration,
    pub(crate) health: SharedHealth,
    share: InProcessRateLimiter,
    keyed: Keyed<KeyState>,
}

/// Why the store provided no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    /// The store is lost.
    Lost,
    /// This call cannot wait for it. That says nothing about the store.
    Late,
    /// The caller was not polled in time.
    Missed,
}

/// Margin on how far ahead slots may be reserved.
const SLACK: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86400);

/// How late a caller may use a response or a slot. One that is kept without being polled would send later than
/// the others expect.
const LATEST: Duration = Duration::from_millis(100);

/// One interface of one caller, as known to this process.
struct KeyState {
    burst: NonZeroU32,
    interval: Duration,
    farthest: Duration,
    /// The state in the last response.
    known: Mutex<Option<Reach>>,
    /// How many slots may be reserved and not yet reached. Other requests wait here, where nothing is lost
    /// when the caller gives up.
    window: Turns,
    /// Slots reserved by callers that gave up.
    spare: Mutex<Vec<Instant>>,
}

/// A reserved slot. If it is not used, the next caller gets it.
struct Reserved<'l> {
    key_state: &'l KeyState,
    at: Instant,
    is_taken: bool,
}

impl<S: SharedStore> SharedLimit<S> {
    pub(crate) fn new(store: S, server: String, processes: NonZeroU32) -> Self {
        Self {
            store,
            processes,
            response_timeout: Duration::from_millis(50),
            health: SharedHealth::new(server, Duration::from_secs(1)),
            share: InProcessRateLimiter::new().share_of(processes),
            keyed: Keyed::default(),
        }
    }

    pub(crate) async fn acquire(
        &self,
        key: LimitKey<'_>,
        left: Duration,
    ) -> Result<(), RateLimited> {
        let deadline = Instant::now().checked_add(left);
        let mut has_missed = false;
        loop {
            let remaining =
                || deadline.map_or(left, |d| d.saturating_duration_since(Instant::now()));
            let without = match self.shared(key, remaining()).await {
                Ok(ended) => return ended,
                Err(without) => without,
            };
            let left = remaining();
            match without {
                Without::Lost => {}
                Without::Missed if !has_missed => {
                    has_missed = true;
                    continue;
                }
                // A process that gets too little time would ask a store that hangs until its time is over.
                Without::Late | Without::Missed => return self.share.acquire(key, left).await,
            }
            // Callers that wait for the share return to the shared limit as soon as the others do: both
            // together would exceed the limit.
            tokio::select! {
                biased;
                ended = self.share.acquire(key, left) => return ended,
                () = self.health.is_back() => {}
            }
        }
    }

    /// Waits for a slot in the store.
    async fn shared(
        &self,
        key: LimitKey<'_>,
        left: Duration,
    ) -> Result<Result<(), RateLimited>, Without> {
        let asking = self.health.ask().ok_or(Without::Lost)?;
        let key_state = self.keyed.state(key, || KeyState::new(key, self.processes));
        let deadline = Instant::now().checked_add(left);
        // A probe does not block other callers.
        let (asking, turn) = if asking.is_probe() {
            (asking, None)
        } else {
            let turn = match key_state.turn(deadline, left).await {
                Ok(turn) => turn,
                Err(limited) => return Ok(Err(limited)),
            };
            // The store may have been lost meanwhile.
            (self.health.ask().ok_or(Without::Lost)?, Some(turn))
        };
        // A turn lasts for the query, and then until the slot begins.
        let keep_turn = |end| turn.as_ref().into_iter().for_each(|turn| turn.keep_until(end));
        keep_turn(Instant::now() + self.response_timeout);
        let left = deadline.map_or(left, |d| d.saturating_duration_since(Instant::now()));
        let reserved = match self.reserve(&key_state, key, left, asking).await? {
            Ok(reserved) => reserved,
            Err(limited) => return Ok(Err(limited)),
        };
        if deadline.is_some_and(|deadline| reserved.at > deadline) {
            let retry_after = reserved.at.saturating_duration_since(Instant::now());
            return Ok(Err(RateLimited { retry_after }));
        }
        keep_turn(reserved.at);
        if reserved.take().await { Ok(Ok(())) } else { Err(Without::Missed) }
    }

    async fn reserve<'l>(
        &self,
        key_state: &'l KeyState,
        key: LimitKey<'_>,
        longest: Duration,
        asking: Asking<'_>,
    ) -> Result<Result<Reserved<'l>, RateLimited>, Without> {
        if !asking.is_probe()
            && let Some(reserved) = key_state.spare()
        {
            return Ok(Ok(reserved));
        }
        let wanted = key_state.wanted(key, longest);
        let on = self.store.line();
        // Half of the time is reserved for the share of this process, in case there is no response.
        let (patience, asked) = (self.response_timeout.min(longest / 2), Instant::now());
        let response = timeout(patience, self.store.reserve(&on, wanted)).await;
        if asked.elapsed() > patience + LATEST {
            return Err(Without::Missed);
        }
        let response = match response {
            Ok(response) => response,
            Err(_) if patience < self.response_timeout => return Err(Without::Late),
            Err(_) => Err(Lost::Slow),
        };
        match response.and_then(|response| wanted.believe(response)) {
            Ok(response) => {
                key_state.note(response.reach);
                asking.answered();
                Ok(match response.place {
                    // However late this caller is polled.
                    Slot::After(wait) => {
                        Ok(key_state.reserved(Instant::now().min(asked + patience) + wait))
                    }
                    Slot::TooFar(wait) => Err(RateLimited { retry_after: wait }),
                })
            }
            Err(lost) => {
                // On a connection that was already closed, a failure is not news.
                if self.store.hang_up(&on) {
                    asking.failed(&lost);
                }
                Err(Without::Lost)
            }
        }
    }
}

impl<S> fmt::Debug for SharedLimit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLimit")
            .field("processes", &self.processes)
            .field("response_timeout", &self.response_timeout)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

impl KeyState {
    fn new(key: LimitKey<'_>, processes: NonZeroU32) -> Self {
        let (burst, interval) = spread(key.limit, NonZeroU32::MIN);
        // All processes together reserve about a tenth of a second ahead. That covers the round trip to the
        // server, and little is lost with a process that dies.
        let in_second = u64::from(burst.get()) / key.limit.period().as_secs().max(1);
        let window = (in_second / u64::from(processes.get())).max(1);
        let places = burst.get().saturating_add(processes.get());
        Self {
            burst,
            interval,
            // Callers that give up between query and response push slots back, too.
            farthest: interval.saturating_mul(places).saturating_add(SLACK).min(DAY),
            known: Mutex::default(),
            window: Turns::new(usize::try_from(window).unwrap_or(1), interval),
            spare: Mutex::default(),
        }
    }

    fn wanted<'k>(&self, key: LimitKey<'k>, longest: Duration) -> Wanted<'k> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Self { burst, interval, farthest, .. } = *self;
        Wanted { key, burst, interval, longest, farthest, known }
    }

    /// Stores the last known state. An older response may be processed after a newer one; it contains less,
    /// but nothing wrong. The clock of the store cannot tell which is newer: it may have been set back.
    fn note(&self, reach: Reach) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(reach);
    }

    /// Waits for this caller's turn to reserve a slot.
    async fn turn(
        &self,
        deadline: Option<Instant>,
        left: Duration,
    ) -> Result<Turn<'_>, RateLimited> {
        // Do not overtake waiting callers.
        if let Some(turn) = self.window.try_take() {
            return Ok(turn);
        }
        let mut before = 0;
        let turn = self.window.enter(|ahead| {
            before = ahead.waiting;
            self.admit(before, left)
        })?;
        match deadline {
            None => turn.wait().await,
            Some(deadline) => {
                let came = timeout_at(deadline, turn.wait()).await;
                came.map_err(|_| self.limited(before))?;
            }
        }
        Ok(turn)
    }

    fn admit(&self, before: usize, left: Duration) -> Result<(), RateLimited> {
        if before >= QUEUE {
            return Err(self.limited(QUEUE));
        }
        if self.interval.saturating_mul(count(before)) >= left {
            return Err(self.limited(before));
        }
        Ok(())
    }

    fn limited(&self, before: usize) -> RateLimited {
        RateLimited { retry_after: self.interval.saturating_mul(count(before).max(1)) }
    }

    fn reserved(&self, at: Instant) -> Reserved<'_> {
        Reserved { key_state: self, at, is_taken: false }
    }

    /// Takes the next unused slot. Discards those in the past.
    fn spare(&self) -> Option<Reserved<'_>> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        spare.retain(|at| *at >= now);
        let next = (0..spare.len()).min_by_key(|n| spare.get(*n))?;
        Some(self.reserved(spare.swap_remove(next)))
    }
}

impl Reserved<'_> {
    /// Waits for the slot; returns `false` if it was missed.
    async fn take(mut self) -> bool {
        sleep_until(self.at).await;
        self.is_taken = true;
        self.at.elapsed() <= LATEST
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.is_taken {
            self.key_state.spare.lock().unwrap_or_else(PoisonError::into_inner).push(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use tokio::task::JoinSet;

    use super::*;
    use crate::message::interface_limit::RateLimit;
    use crate::rate_limit::redis::store::StoreReply;

    const MINUTE: Duration = Duration::from_secs(60);
    const MILLISECOND: Duration = Duration::from_millis(1);

    /// A store double, by the clock of the test.
    #[derive(Default)]
    struct Double {
        mode: Mutex<Mode>,
        tat: Mutex<Option<Instant>>,
        questions: AtomicUsize,
        hung_up: AtomicUsize,
    }

    #[derive(Default, Clone, Copy)]
    enum Mode {
        #[default]
        Works,
        Fails,
        Hangs,
        Says(StoreReply),
        Forgets,
    }

    impl Double {
        fn set(&self, mode: Mode) {
            *self.mode.lock().unwrap() = mode;
        }

        fn questions(&self) -> usize {
            self.questions.load(Ordering::Relaxed)
        }
    }

    #[async_trait]
    impl SharedStore for Arc<Double> {
        /// How many connections were closed before.
        type Line = usize;

        fn line(&self) -> usize {
            self.hung_up.load(Ordering::Relaxed)
        }

        async fn reserve(&self, _: &usize, wanted: Wanted<'_>) -> Result<StoreReply, Lost> {
            self.questions.fetch_add(1, Ordering::Relaxed);
            let mode = *self.mode.lock().unwrap();
            match mode {
                Mode::Works => {}
                Mode::Fails => return Err(Lost::Connection),
                Mode::Hangs => std::future::pending().await,
                Mode::Says(response) => return Ok(response),
                Mode::Forgets => return Err(Lost::Forgotten),
            }
            // A real round trip takes time, too.
            tokio::time::sleep(MILLISECOND).await;
            let (mut last, now) = (self.tat.lock().unwrap(), Instant::now());
            let tat = last.unwrap_or(now).max(now);
            let early = wanted.interval * (wanted.burst.get() - 1);
            let wait = (tat - early).saturating_duration_since(now);
            let reach = Reach { next: 0, seen: 0 };
            if !wait.is_zero() && wait >= wanted.longest {
                return Ok(StoreReply { place: Slot::TooFar(wait), reach });
            }
            *last = Some(tat + wanted.interval);
            Ok(StoreReply { place: Slot::After(wait), reach })
        }

        fn hang_up(&self, line: &usize) -> bool {
            let next = line + 1;
            let (done, seen) = (Ordering::Relaxed, Ordering::Relaxed);
            self.hung_up.compare_exchange(*line, next, done, seen).is_ok()
        }
    }

    type Limit = Arc<SharedLimit<Arc<Double>>>;

    /// Creates one of this many processes.
    fn process(store: &Arc<Double>, processes: u32) -> Limit {
        let processes = NonZeroU32::new(processes).unwrap();
        Arc::new(SharedLimit::new(Arc::clone(store), "redis.test:6379".to_owned(), processes))
    }

    fn key(per_second: u32) -> LimitKey<'static> {
        let limit = RateLimit::per_second(per_second);
        LimitKey { identity: "1900007291", operation: "x", limit }
    }

    /// Sends `each` requests per process as fast as allowed, with this many callers each; returns when each
    /// one was sent.
    async fn times(of: &[Limit], callers: u32, per_second: u32, each: u32) -> Vec<Duration> {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for limit in of {
            for _ in 0..callers {
                let limit = Arc::clone(limit);
                tasks.spawn(async move {
                    let mut times = Vec::new();
                    for _ in 0..each / callers {
                        limit.acquire(key(per_second), MINUTE).await.unwrap();
                        times.push(start.elapsed());
                    }
                    times
                });
            }
        }
        tasks.join_all().await.concat()
    }

    /// Returns the maximum number in any second. Timers of tokio are at most a millisecond late, and so is
    /// the response of the store.
    fn most_in_a_second(times: &[Duration]) -> usize {
        let in_second = |from: Duration| {
            let second = from..from + Duration::from_millis(997);
            times.iter().filter(|&time| second.contains(time)).count()
        };
        times.iter().map(|from| in_second(*from)).max().unwrap_or(0)
    }

    #[tokio::test(start_paused = true)]
    async fn in_no_second_there_are_more_than_the_limit_over_all_processes() {
        for (limit, processes, callers) in [(100, 4, 8), (10, 3, 1), (1000, 2, 50), (2, 5, 2)] {
            let store = Arc::default();
            let all: Vec<_> = (0..processes).map(|_| process(&store, processes)).collect();
            let each = (3 * limit / processes / callers).max(1) * callers;
            let times = times(&all, callers, limit, each).await;
            let most = most_in_a_second(&times);
            assert!(most <= usize::try_from(limit).unwrap(), "{limit}/{processes}: {most}");
            // And hardly fewer.
            let rate = f64::from(each * processes) / times.iter().max().unwrap().as_secs_f64();
            assert!(rate >= f64::from(limit) * 0.8, "{limit}/{processes}: {rate}");
            assert!(all.iter().all(|limit| !limit.health.is_lost()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_no_minute_there_are_more_than_the_limit_over_all_processes() {
        for (limit, processes) in [(900, 4), (60, 3), (2, 5)] {
            let store = Arc::default();
            let all: Vec<_> = (0..processes).map(|_| process(&store, processes)).collect();
            let each = (3 * limit / processes).max(1);
            let start = Instant::now();
            let mut tasks = JoinSet::new();
            for process in &all {
                let process = Arc::clone(process);
                tasks.spawn(async move {
                    let limit = RateLimit::per_minute(limit);
                    let mut times = Vec::new();
                    for _ in 0..each {
                        let key = LimitKey { limit, ..key(1) };
                        process.acquire(key, 10 * MINUTE).await.unwrap();
                        times.push(start.elapsed());
                    }
                    times
                });
            }
            let times = tasks.join_all().await.concat();
            let in_minute = |from: &Duration| {
                let minute = *from..*from + Duration::from_millis(59_997);
                times.iter().filter(|&time| minute.contains(time)).count()
            };
            let most = times.iter().map(in_minute).max().unwrap();
            assert!(most <= usize::try_from(limit).unwrap(), "{limit}/{processes}: {most}");
            // And hardly fewer.
            let minutes = times.iter().max().unwrap().as_secs_f64() / 60.0;
            let rate = f64::from(each * processes) / minutes;
            assert!(rate >= f64::from(limit) * 0.8, "{limit}/{processes}: {rate}");
            assert!(all.iter().all(|limit| !limit.health.is_lost()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_process_may_use_what_the_others_leave() {
        let store = Arc::default();
        let times = times(&[process(&store, 4)], 20, 100, 300).await;
        assert!(times.iter().max().unwrap() < &Duration::from_secs(4), "{:?}", times.iter().max());
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_for_too_long_is_told_so_at_once_and_has_no_place() {
        let store = Arc::default();
        let (one, other) = (process(&store, 2), process(&store, 2));
        one.acquire(key(1), MINUTE).await.unwrap();
        let tat = *store.tat.lock().unwrap();
        let start = Instant::now();
        let left = Duration::from_millis(500);
        let refused = other.acquire(key(1), left).await.unwrap_err();
        assert!(refused.retry_after > left && refused.retry_after <= Duration::from_secs(1));
        assert!(start.elapsed() <= 3 * MILLISECOND, "{:?}", start.elapsed());
        assert_eq!(*store.tat.lock().unwrap(), tat);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_is_asked_once_a_second_and_the_share_is_kept() {
        for (mode, response_timeout) in
            [(Mode::Fails, Duration::ZERO), (Mode::Hangs, Duration::from_millis(50))]
        {
            let store = Arc::new(Double::default());
            store.set(mode);
            let limit = process(&store, 4);
            let start = Instant::now();
            limit.acquire(key(100), MINUTE).await.unwrap();
            assert!(start.elapsed() <= response_timeout + MILLISECOND, "{:?}", start.elapsed());
            assert_eq!((store.questions(), limit.health.is_lost()), (1, true));
            assert_eq!(store.hung_up.load(Ordering::Relaxed), 1, "the next one begins afresh");
            let times = times(std::slice::from_ref(&limit), 5, 100, 100).await;
            let most = most_in_a_second(&times);
            assert!((20..=25).contains(&most), "a fourth of 100: {most}");
            let seconds = usize::try_from(start.elapsed().as_secs()).unwrap();
            assert!((2..=1 + seconds).contains(&store.questions()), "{}", store.questions());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_cannot_be_true_stops_nobody() {
        let (day, hour) = (86_400_000_000, 3_600_000_000);
        let reach = Reach { next: 1_000, seen: 1_000 };
        let far = Reach { next: day, ..reach };
        for response in [
            StoreReply { place: Slot::After(MINUTE + MILLISECOND), reach },
            StoreReply { place: Slot::After(Duration::from_secs(1_000_000)), reach },
            StoreReply { place: Slot::TooFar(Duration::from_micros(hour)), reach },
            StoreReply { place: Slot::TooFar(Duration::ZERO), reach },
            StoreReply { place: Slot::After(Duration::ZERO), reach: far },
        ] {
            let store = Arc::new(Double::default());
            store.set(Mode::Says(response));
            let limit = process(&store, 1);
            let start = Instant::now();
            assert_eq!(limit.acquire(key(10), MINUTE).await, Ok(()), "{response:?}");
            assert_eq!(start.elapsed(), Duration::ZERO, "{response:?}");
            assert!(limit.health.is_lost(), "{response:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_forgets_is_left_alone_for_longer() {
        let store = Arc::new(Double::default());
        let limit = process(&store, 1);
        store.set(Mode::Forgets);
        let start = Instant::now();
        let mut asked = Vec::new();
        while asked.len() < 3 {
            let before = store.questions();
            limit.acquire(key(10), MINUTE).await.unwrap();
            assert!(limit.health.is_lost());
            if store.questions() > before {
                asked.push(start.elapsed().as_secs());
            }
        }
        // The recovery is detected as with any other loss.
        assert_eq!(asked, [0, 10, 11]);
        // A loss of another kind does not last longer for that.
        store.set(Mode::Works);
        while limit.health.is_lost() {
            limit.acquire(key(10), MINUTE).await.unwrap();
        }
        store.set(Mode::Fails);
        limit.acquire(key(10), MINUTE).await.unwrap();
        assert!(limit.health.is_lost());
        tokio::time::sleep(Duration::from_secs(1)).await;
        store.set(Mode::Works);
        limit.acquire(key(10), MINUTE).await.unwrap();
        assert!(!limit.health.is_lost());
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_last_response_said_is_given_with_the_next_question() {
        let store = Arc::new(Double::default());
        let limit = process(&store, 1);
        let key_state = limit.keyed.state(key(10), || KeyState::new(key(10), limit.processes));
        assert_eq!(key_state.wanted(key(10), MINUTE).known, None);
        // The clock of the store may be set back.
        for (next, seen) in [(5, 4), (9, 8), (3, 2)] {
            let reach = Reach { next, seen };
            store.set(Mode::Says(StoreReply { place: Slot::After(Duration::ZERO), reach }));
            limit.acquire(key(10), MINUTE).await.unwrap();
            assert_eq!(key_state.wanted(key(10), MINUTE).known, Some(reach));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_cannot_wait_for_a_response_takes_the_share_in_time() {
        let store = Arc::new(Double::default());
        store.set(Mode::Hangs);
        let limit = process(&store, 4);
        let start = Instant::now();
        limit.acquire(key(100), Duration::from_millis(40)).await.unwrap();
        // Half of its time was spent on the query.
        assert_eq!(start.elapsed().as_millis(), 20);
        // Its lack of time says nothing about the store.
        assert!(!limit.health.is_lost());
        assert_eq!(store.hung_up.load(Ordering::Relaxed), 0);
        // A request with more time finds out.
        limit.acquire(key(100), MINUTE).await.unwrap();
        assert!(limit.health.is_lost());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_on_a_connection_that_was_given_up_already_says_nothing_new() {
        let store = Arc::new(Double::default());
        let limit = process(&store, 1);
        let old = limit.health.ask().unwrap();
        let key_state = limit.keyed.state(key(100), || KeyState::new(key(100), limit.processes));
        store.set(Mode::Hangs);
        let slow = limit.reserve(&key_state, key(100), MINUTE, old);
        let replaced = async {
            tokio::time::sleep(MILLISECOND).await;
            assert!(store.hang_up(&store.line()));
        };
        let (ended, ()) = tokio::join!(slow, replaced);
        assert_eq!(ended.err(), Some(Without::Lost));
        assert!(!limit.health.is_lost());
        assert_eq!(store.hung_up.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_out_whether_it_is_back_holds_nobody_up() {
        let store = Arc::new(Double::default());
        store.set(Mode::Hangs);
        let limit = process(&store, 1);
        limit.acquire(key(10), MINUTE).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let asks = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { limit.acquire(key(10), MINUTE).await }
        });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.questions(), 2);
        let start = Instant::now();
        limit.acquire(key(10), MINUTE).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        // A caller that gives up leaves the query to the next one.
        asks.abort();
        assert!(asks.await.unwrap_err().is_cancelled());
        store.set(Mode::Works);
        limit.acquire(key(10), MINUTE).await.unwrap();
        assert_eq!((store.questions(), limit.health.is_lost()), (3, false));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_for_the_share_go_on_with_the_shared_limit_when_it_is_back() {
        let store = Arc::new(Double::default());
        store.set(Mode::Fails);
        let limit = process(&store, 10);
        let start = Instant::now();
        // One is sent at once; the others one per second.
        let mut waiting = JoinSet::new();
        for _ in 0..10 {
            let limit = Arc::clone(&limit);
            waiting.spawn(async move { limit.acquire(key(10), MINUTE).await });
        }
        tokio::time::sleep(Duration::from_millis(1500)).await;
        store.set(Mode::Works);
        limit.acquire(key(10), MINUTE).await.unwrap();
        assert!(waiting.join_all().await.into_iter().all(|ended| ended.is_ok()));
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert!(store.questions() >= 9, "{}", store.questions());
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_for_their_turn_take_the_share_when_it_is_lost() {
        let store = Arc::new(Double::default());
        let limit = process(&store, 2);
        store.set(Mode::Hangs);
        let start = Instant::now();
        let mut waiting = JoinSet::new();
        for _ in 0..4 {
            let limit = Arc::clone(&limit);
            waiting.spawn(async move { limit.acquire(key(4), MINUTE).await });
        }
        assert!(waiting.join_all().await.into_iter().all(|ended| ended.is_ok()));
        // Only the first one waited for a response; then two per second are sent.
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        assert!(store.questions() <= 3, "{}", store.questions());
    }

    #[tokio::test(start_paused = true)]
    async fn the_place_of_one_who_gives_up_is_taken_by_the_next() {
        let store = Arc::new(Double::default());
        let limit = process(&store, 1);
        let start = Instant::now();
        limit.acquire(key(1), MINUTE).await.unwrap();
        for _ in 0..5 {
            let gives_up = timeout(Duration::from_millis(100), limit.acquire(key(1), MINUTE));
            assert!(gives_up.await.is_err());
        }
        limit.acquire(key(1), MINUTE).await.unwrap();
        assert!(start.elapsed() < Duration::from_millis(1010), "{:?}", start.elapsed());
        assert_eq!(store.questions(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_give_up_do_not_push_the_others_back() {
        let store = Arc::new(Double::default());
        let all: Vec<_> = (0..2).map(|_| process(&store, 2)).collect();
        // Far more than are sent, and none of them waits for long.
        let mut impatient = JoinSet::new();
        for n in 0..2000 {
            let limit = Arc::clone(&all[n % 2]);
            impatient.spawn(async move {
                tokio::time::sleep(MILLISECOND * u32::try_from(n).unwrap()).await;
                let acquired = limit.acquire(key(20), MINUTE);
                timeout(Duration::from_millis(120), acquired).await.is_ok_and(|ended| ended.is_ok())
            });
        }
        let went = impatient.join_all().await.into_iter().filter(|went| *went).count();
        assert!((30..=45).contains(&went), "20 a second go through, for 2 seconds: {went}");
        let start = Instant::now();
        all[0].acquire(key(20), MINUTE).await.unwrap();
        assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
    }
    /// Begins to wait, and is not polled after that.
    async fn begin<'l>(
        limit: &'l Limit,
        per_second: u32,
    ) -> Pin<Box<dyn Future<Output = Result<(), RateLimited>> + Send + 'l>> {
        let mut waits = Box::pin(limit.acquire(key(per_second), MINUTE));
        assert!(timeout(5 * MILLISECOND, waits.as_mut()).await.is_err());
        waits
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_polled_while_it_waits_holds_nobody_up() {
        let store = Arc::new(Double::default());
        let limit = process(&store, 1);
        limit.acquire(key(1), MINUTE).await.unwrap();
        let mut sleeping = Vec::new();
        for _ in 0..3 {
            sleeping.push(begin(&limit, 1).await);
        }
        assert_eq!(store.questions(), 2);
        let start = Instant::now();
        for second in 2..=4 {
            let waits = limit.acquire(key(1), MINUTE);
            assert_eq!(timeout(MINUTE, waits).await, Ok(Ok(())));
            // One of them had reserved a slot.
            let late = start.elapsed().saturating_sub(Duration::from_secs(second));
            assert!(late <= Duration::from_millis(500), "{late:?}");
        }
        // A slot that was missed is not used later.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let start = Instant::now();
        let mut times = Vec::new();
        for sleeper in &mut sleeping {
            sleeper.await.unwrap();
            times.push(start.elapsed().as_millis() / 100);
        }
        assert!(times[0] <= 5, "{times:?}");
        assert!(times.windows(2).all(|pair| (10..=11).contains(&(pair[1] - pair[0]))), "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_polled_while_it_asks_holds_nobody_up() {
        let store = Arc::new(Double::default());
        let limit = process(&store, 1);
        store.set(Mode::Hangs);
        let asks = begin(&limit, 10).await;
        store.set(Mode::Works);
        let start = Instant::now();
        assert_eq!(timeout(MINUTE, limit.acquire(key(10), MINUTE)).await, Ok(Ok(())));
        assert!(start.elapsed() < Duration::from_millis(300), "{:?}", start.elapsed());
        assert!(!limit.health.is_lost());
        // What it finds out much later is not about the store.
        tokio::time::sleep(MINUTE).await;
        asks.await.unwrap();
        assert!(!limit.health.is_lost());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_not_polled_leaves_the_query_to_another() {
        let store = Arc::new(Double::default());
        let limit = process(&store, 1);
        store.set(Mode::Hangs);
        limit.acquire(key(10), MINUTE).await.unwrap();
        assert!(limit.health.is_lost());
        tokio::time::sleep(Duration::from_secs(2)).await;
        let _asks = begin(&limit, 10).await;
        store.set(Mode::Works);
        tokio::time::sleep(Duration::from_secs(10)).await;
        limit.acquire(key(10), MINUTE).await.unwrap();
        assert!(!limit.health.is_lost());
    }

    /// As in a process that gets too little time.
    #[tokio::test(start_paused = true)]
    async fn who_is_polled_late_again_and_again_takes_the_share() {
        for mode in [Mode::Hangs, Mode::Works] {
            let store = Arc::new(Double::default());
            let limit = process(&store, 1);
            limit.acquire(key(1), MINUTE).await.unwrap();
            store.set(mode);
            let mut waits = begin(&limit, 1).await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert!(timeout(Duration::ZERO, waits.as_mut()).await.is_err());
            assert_eq!(store.questions(), 3, "it asks again once");
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert_eq!(timeout(Duration::ZERO, waits).await, Ok(Ok(())));
            assert_eq!((store.questions(), limit.health.is_lost()), (3, false));
        }
    }
}
