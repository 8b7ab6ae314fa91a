//! Turns that a caller loses if it does not use them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Gives turns to callers in order of arrival, a few at a time.
///
/// A future may be kept without being polled: by a `select!`, or on a runtime that is not driven. Such a caller
/// must not block others. So each turn has an end, and a caller that does not take its turn is passed by the
/// next one. When it is polled again, it is the first one.
#[derive(Debug)]
pub(crate) struct Turns {
    most: usize,
    /// How long each waiting caller is given to come before the next one passes it.
    step: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next: u64,
    /// Those who have a turn, and when it ends.
    holding: Vec<(u64, Instant)>,
    waiting: BTreeMap<u64, Arc<Notify>>,
    /// Since when the first waiting caller may take its turn, if there is a free one.
    free_since: Instant,
    /// The caller to wake once the lock is free: its waker is code of the application.
    to_wake: Option<Arc<Notify>>,
}

/// How many callers came before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ahead {
    pub(crate) holding: usize,
    pub(crate) waiting: usize,
}

/// A place in the queue, and then the turn. Dropping it leaves both to the next caller.
#[derive(Debug)]
pub(crate) struct Turn<'t> {
    turns: &'t Turns,
    number: u64,
    notify: Arc<Notify>,
}

/// How late a caller may be.
const GRACE: Duration = Duration::from_millis(100);

impl Turns {
    /// Gives `most` turns at a time. `interval` is the time between two callers that leave.
    pub(crate) fn new(most: usize, interval: Duration) -> Self {
        let (holding, waiting) = (Vec::new(), BTreeMap::new());
        let (free_since, to_wake) = (Instant::now(), None);
        let state = State { next: 0, holding, waiting, free_since, to_wake };
        Self { most, step: interval.min(GRACE), state: Mutex::new(state) }
    }

    /// Returns whether no caller has a turn or waits for one.
    pub(crate) fn is_idle(&self) -> bool {
        self.with(|state| state.holding.is_empty() && state.waiting.is_empty())
    }

    /// Takes a turn if there is one and no caller waits for it.
    #[cfg(feature = "redis")]
    pub(crate) fn try_take(&self) -> Option<Turn<'_>> {
        self.with(|state| {
            if !state.waiting.is_empty() || state.holding.len() >= self.most {
                return None;
            }
            let turn = self.enter_locked(state);
            state.holding.push((turn.number, Instant::now() + GRACE));
            Some(turn)
        })
    }

    /// Enters the queue, if `admit` agrees.
    pub(crate) fn enter<E>(
        &self,
        admit: impl FnOnce(Ahead) -> Result<(), E>,
    ) -> Result<Turn<'_>, E> {
        self.with(|state| {
            admit(Ahead { holding: state.holding.len(), waiting: state.waiting.len() })?;
            let turn = self.enter_locked(state);
            state.waiting.insert(turn.number, Arc::clone(&turn.notify));
            Ok(turn)
        })
    }

    fn enter_locked(&self, state: &mut State) -> Turn<'_> {
        let number = state.next;
        state.next += 1;
        Turn { turns: self, number, notify: Arc::default() }
    }

    /// Ends what is over, uses the state, and then wakes who may come.
    fn with<R>(&self, used: impl FnOnce(&mut State) -> R) -> R {
        // No code panics while it holds the lock.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.end(&mut state);
        let result = used(&mut state);
        let to_wake = state.to_wake.take();
        drop(state);
        if let Some(first) = to_wake {
            first.notify_one();
        }
        result
    }

    /// Ends what is over.
    fn end(&self, state: &mut State) {
        let now = Instant::now();
        let first_end = state.holding.iter().map(|(_, end)| *end).min();
        if let Some(end) = first_end.filter(|end| *end <= now) {
            state.holding.retain(|(_, end)| *end > now);
            state.free_since = state.free_since.max(end);
            state.wake_first(self.most);
        }
        // Each of them had the time to come.
        if self.is_passed(state, state.waiting.len(), now) {
            state.waiting.clear();
        }
    }

    /// Returns whether there is a turn that this many waiting callers could have taken.
    fn is_passed(&self, state: &State, waiting: usize, now: Instant) -> bool {
        let time = GRACE + self.step_for(waiting);
        state.holding.len() < self.most && now >= state.free_since + time
    }

    fn step_for(&self, waiting: usize) -> Duration {
        self.step.saturating_mul(u32::try_from(waiting).unwrap_or(u32::MAX))
    }

    /// Takes the turn of a caller, or returns when to try again.
    fn take(&self, turn: &Turn<'_>) -> Option<Instant> {
        let now = Instant::now();
        self.with(|state| {
            if state.holding.iter().any(|(number, _)| *number == turn.number) {
                return None;
            }
            // Others may have passed it.
            state.waiting.entry(turn.number).or_insert_with(|| Arc::clone(&turn.notify));
            let before = state.waiting.range(..turn.number).count();
            if state.holding.len() < self.most
                && (before == 0 || self.is_passed(state, before, now))
            {
                state.waiting = state.waiting.split_off(&(turn.number + 1));
                state.holding.push((turn.number, now + GRACE));
                state.free_since = now;
                state.wake_first(self.most);
                return None;
            }
            let first_end = state.holding.iter().map(|(_, end)| *end).min();
            let end = first_end.filter(|_| state.holding.len() >= self.most);
            Some(end.unwrap_or(state.free_since + GRACE) + self.step_for(before))
        })
    }
}

impl State {
    fn wake_first(&mut self, most: usize) {
        if self.holding.len() < most
            && let Some((_, first)) = self.waiting.first_key_value()
        {
            self.to_wake = Some(Arc::clone(first));
        }
    }
}

impl Turn<'_> {
    /// Waits for the turn. Returns at once if the caller has it.
    pub(crate) async fn wait(&self) {
        while let Some(next) = self.turns.take(self) {
            tokio::select! {
                () = self.notify.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Keeps the turn until then, and as long as a caller may be late.
    pub(crate) fn keep_until(&self, end: Instant) {
        self.turns.with(|state| {
            let mine = state.holding.iter_mut().find(|(number, _)| *number == self.number);
            if let Some((_, until)) = mine {
                *until = end + GRACE;
            }
        });
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.with(|state| {
            let is_full = state.holding.len() >= self.turns.most;
            state.holding.retain(|(number, _)| *number != self.number);
            let was_first = state.waiting.first_key_value().is_some_and(|(n, _)| *n == self.number);
            state.waiting.remove(&self.number);
            if was_first || (is_full && state.holding.len() < self.turns.most) {
                state.free_since = Instant::now();
                state.wake_first(self.turns.most);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn enter(turns: &Turns) -> Turn<'_> {
        turns.enter(|_| Ok::<_, Infallible>(())).unwrap()
    }

    fn has_come(wait: &mut Pin<Box<impl Future<Output = ()>>>) -> bool {
        wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn callers_come_in_order_a_few_at_a_time() {
        let turns = Turns::new(2, SECOND);
        let callers: Vec<_> = (0..4).map(|_| enter(&turns)).collect();
        let mut waits: Vec<_> = callers.iter().map(|turn| Box::pin(turn.wait())).collect();
        // Whatever the order in which they are polled.
        let come: Vec<bool> = waits.iter_mut().rev().map(has_come).collect();
        assert_eq!(come, [false, false, false, true]);
        assert!(has_come(&mut waits[1]) && !has_come(&mut waits[2]));
        drop(waits);
        let mut callers = callers.into_iter();
        let (first, second) = (callers.next(), callers.next());
        let (third, fourth) = (callers.next().unwrap(), callers.next().unwrap());
        drop(first);
        assert!(!has_come(&mut Box::pin(fourth.wait())) && has_come(&mut Box::pin(third.wait())));
        // One that gives up leaves its place to the next one.
        drop(third);
        assert!(has_come(&mut Box::pin(fourth.wait())));
        drop((fourth, second));
        assert!(turns.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_ends_and_those_who_do_not_come_are_passed() {
        let turns = Turns::new(1, SECOND);
        let holds = enter(&turns);
        holds.wait().await;
        holds.keep_until(Instant::now() + SECOND);
        let (absent, present) = (enter(&turns), enter(&turns));
        let start = Instant::now();
        present.wait().await;
        // The end of the turn, its grace, and the time of the one before.
        assert!(start.elapsed() <= SECOND + 3 * GRACE, "{:?}", start.elapsed());
        assert!(start.elapsed() > SECOND + GRACE, "{:?}", start.elapsed());
        // Those who were passed come first again, in their order.
        let late = enter(&turns);
        let mut waits = [&late, &absent, &holds].map(|turn| Box::pin(turn.wait()));
        assert!(waits.iter_mut().all(|wait| !has_come(wait)));
        drop(present);
        assert_eq!(waits.each_mut().map(has_come), [false, false, true]);
        drop(waits);
        drop(holds);
        assert!(has_come(&mut Box::pin(absent.wait())));
    }

    /// A waker of the application that leaves the queue itself.
    struct Leaves(Mutex<Option<Box<dyn FnOnce() + Send>>>);

    impl std::task::Wake for Leaves {
        fn wake(self: Arc<Self>) {
            let leave = self.0.lock().unwrap().take();
            if let Some(leave) = leave {
                leave();
            }
        }
    }

    #[tokio::test]
    async fn a_waker_may_use_the_queue() {
        let turns: &'static Turns = Box::leak(Box::new(Turns::new(1, SECOND)));
        let (holder, waiting, other) = (enter(turns), enter(turns), enter(turns));
        holder.wait().await;
        let leaves = Arc::new(Leaves(Mutex::new(Some(Box::new(move || drop(other))))));
        let waker = Waker::from(Arc::clone(&leaves));
        let mut wait = Box::pin(waiting.wait());
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let (tell, has_left) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            drop(holder);
            tell.send(())
        });
        has_left.recv_timeout(SECOND * 60).expect("the queue is not stuck");
        assert!(leaves.0.lock().unwrap().is_none(), "it was woken");
        assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}
