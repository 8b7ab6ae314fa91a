//! Decides where a signature is computed: inline, or on a separate thread.
//!
//! Inline is cheapest (moving it costs 28 to 40 µs of wake-ups), but under load it starves the runtime: a
//! worker that signs for one task after another does not poll its timers and sockets. So a signature is
//! computed inline only while no other is in progress *and* the runtime has polled its timers and sockets
//! since the last one.
//!
//! Other signatures are queued, and processed by up to one thread per core. Under load a thread finds the
//! next signature when one is done, and need not be woken for each.

mod process;
mod queue;
mod rest;

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;

use self::queue::{SigningQueue, Task};
use self::rest::Rest;

/// Decides where signatures are computed. All signers of the process share one pool.
pub(crate) struct SigningPool {
    /// Number of signatures in progress or waiting.
    busy: AtomicUsize,
    rest: Rest,
    queue: SigningQueue,
}

impl SigningPool {
    fn new() -> Self {
        Self { busy: AtomicUsize::new(0), rest: Rest::new(), queue: SigningQueue::new() }
    }

    /// Returns the pool of this process.
    pub(crate) fn shared() -> &'static Self {
        process::pool_of(std::process::id())
    }

    /// Decides: `Ok` to compute inline, `Err` to queue for another thread.
    pub(crate) fn enter(&'static self) -> Result<SigningTurn, WaitingPlace> {
        let busy = Busy::new(self);
        if self.rest.runtime_has_rested(busy.alone) {
            Ok(SigningTurn { busy })
        } else {
            Err(WaitingPlace { busy })
        }
    }
}

/// Counts one signature from start to end, however it ends.
struct Busy {
    pool: &'static SigningPool,
    alone: bool,
}

impl Busy {
    fn new(pool: &'static SigningPool) -> Self {
        let alone = pool.busy.fetch_add(1, Ordering::Relaxed) == 0;
        Self { pool, alone }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.pool.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to compute inline.
pub(crate) struct SigningTurn {
    busy: Busy,
}

impl SigningTurn {
    pub(crate) fn done(self) {
        self.busy.pool.rest.signed_on_the_spot();
    }
}

/// A place in the queue.
pub(crate) struct WaitingPlace {
    busy: Busy,
}

impl WaitingPlace {
    /// Computes on another thread. If the caller gives up before it begins, it leaves the queue, and is no
    /// longer counted.
    ///
    /// # Errors
    /// [`RecvError`] if the work panicked.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RecvError> {
        let (caller, done) = oneshot::channel();
        let pool = self.busy.pool;
        // Dropped with this future, whether it completed or was abandoned.
        let _ticket = pool.queue.push(Box::new(Task::new(work, caller, self.busy)));
        done.await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::panicking::panic_twice;

    fn pool() -> &'static SigningPool {
        Box::leak(Box::new(SigningPool::new()))
    }

    #[test]
    fn without_a_runtime_it_is_done_on_the_spot() {
        let pool = pool();
        let first = pool.enter().is_ok();
        let second = pool.enter().is_ok();
        assert!(first && second);
    }

    #[tokio::test]
    async fn only_a_lone_caller_computes_on_the_spot() {
        let pool = pool();
        let lone = pool.enter().ok().expect("nobody else signs");
        let second = pool.enter().err().expect("somebody signs");
        assert_eq!(second.run(|| 7).await.unwrap(), 7);
        drop(lone);
        assert_eq!(pool.busy.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_right_after_the_other_is_moved_away() {
        let pool = pool();
        pool.enter().ok().expect("the first").done();
        // As if the last one ended now, however long this test took to get here.
        pool.rest.set_last_end(u64::MAX / 2);
        assert!(pool.enter().is_err());
        pool.rest.set_last_end(1);
        std::thread::sleep(Duration::from_millis(1));
        assert!(pool.enter().is_ok());
    }

    /// Between two signatures, other tasks run for longer than a pause.
    #[test]
    fn a_lone_worker_signs_once_on_the_spot_and_then_looks_at_its_timers() {
        let one_thread = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let mut one_worker = tokio::runtime::Builder::new_multi_thread();
        let one_worker = one_worker.worker_threads(1).enable_time().build();
        for runtime in [one_thread.unwrap(), one_worker.unwrap()] {
            let pool = pool();
            let signing = async move {
                for _ in 0..3 {
                    pool.enter().ok().expect("the worker has slept").done();
                    for _ in 0..20 {
                        std::thread::sleep(Duration::from_millis(1));
                        tokio::task::yield_now().await;
                        assert!(pool.enter().is_err(), "nobody has looked at the timers");
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            runtime.block_on(async { tokio::spawn(signing).await }).unwrap();
        }
    }

    /// Waits until only `turns` signatures are in progress, and no thread is awake.
    async fn is_idle(pool: &SigningPool, turns: usize) {
        let idle = async {
            while pool.busy.load(Ordering::Relaxed) > turns || pool.queue.counts().1 > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), idle).await.expect("all counts come back");
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_leaves_no_count_and_no_worker_behind() {
        let pool = pool();
        let _someone = pool.enter().ok().expect("the first");
        for _ in 0..100 {
            let queue = pool.enter().err().expect("somebody signs");
            let work = tokio::spawn(queue.run(|| std::thread::sleep(Duration::from_millis(1))));
            tokio::task::yield_now().await;
            work.abort();
        }
        is_idle(pool, 1).await;
        assert!(pool.queue.counts().0 == 0);
    }

    #[tokio::test]
    async fn no_more_run_at_a_time_than_there_are_cores_and_those_given_up_not_at_all() {
        let pool = pool();
        let _someone = pool.enter().ok().expect("the first");
        let (running, most, ran) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let counts: &'static _ = Box::leak(Box::new((running, most, ran)));
        let work = move || {
            let (running, most, ran) = counts;
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(2));
            running.fetch_sub(1, Ordering::SeqCst);
            ran.fetch_add(1, Ordering::SeqCst);
        };
        // These keep all cores busy until released.
        let (let_go, waits) = std::sync::mpsc::channel::<()>();
        let waits = std::sync::Arc::new(Mutex::new(waits));
        let blocking: Vec<_> = (0..pool.queue.cores())
            .map(|_| {
                let (queue, waits) = (pool.enter().err().expect("somebody signs"), waits.clone());
                tokio::spawn(queue.run(move || waits.lock().unwrap().recv().is_err()))
            })
            .collect();
        let signing = |_| tokio::spawn(pool.enter().err().expect("somebody signs").run(work));
        let (given_up, waiting): (Vec<_>, Vec<_>) =
            ((0..20).map(signing).collect(), (0..20).map(signing).collect());
        while pool.queue.counts().0 < 40 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for task in given_up {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
        drop(let_go);
        for task in blocking {
            assert!(task.await.unwrap().unwrap());
        }
        for task in waiting {
            task.await.unwrap().unwrap();
        }
        let (_, most, ran) = counts;
        assert!((1..=pool.queue.cores()).contains(&most.load(Ordering::SeqCst)));
        assert_eq!(ran.load(Ordering::SeqCst), 20);
        is_idle(pool, 1).await;
    }

    #[tokio::test]
    async fn a_result_that_was_held_back_is_handed_over_when_others_took_the_rest() {
        let pool: &'static _ = Box::leak(Box::new(SigningPool {
            queue: SigningQueue::with_cores(2),
            ..SigningPool::new()
        }));
        let _someone = pool.enter().ok().expect("the first");
        // Computed when released.
        let held = || {
            let (let_go, waits) = std::sync::mpsc::channel::<()>();
            let queue = pool.enter().err().expect("somebody signs");
            (let_go, tokio::spawn(queue.run(move || waits.recv().is_err())))
        };
        let (first, second) = (held(), held());
        while pool.queue.counts().1 < 2 || !pool.queue.counts().0 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let slow = held();
        tokio::task::yield_now().await;
        let quick = (0..10).map(|n| {
            let queue = pool.enter().err().expect("somebody signs");
            tokio::spawn(queue.run(move || n))
        });
        let quick: Vec<_> = quick.collect();
        while pool.queue.counts().0 < 11 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // One thread takes the slow one, which has many behind it, and the other thread takes all of these.
        drop(first.0);
        while pool.queue.counts().0 == 11 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(second.0);
        for (n, task) in quick.into_iter().enumerate() {
            assert_eq!(task.await.unwrap().unwrap(), n);
        }
        drop(slow.0);
        for task in [first.1, second.1, slow.1] {
            let ended = tokio::time::timeout(Duration::from_secs(30), task).await;
            assert!(ended.expect("it is handed over").unwrap().unwrap());
        }
        is_idle(pool, 1).await;
    }

    #[tokio::test]
    async fn work_that_panics_harms_nobody_else() {
        let pool = pool();
        let _someone = pool.enter().ok().expect("the first");
        let panics = pool.enter().err().expect("somebody signs").run(|| -> u8 { panic_twice() });
        let works = pool.enter().err().expect("somebody signs").run(|| 7);
        let (panicked, worked) = tokio::join!(panics, works);
        assert!(panicked.is_err());
        assert_eq!(worked.unwrap(), 7);
        is_idle(pool, 1).await;
    }

    #[test]
    fn where_a_runtime_has_shut_down_it_is_done_all_the_same() {
        let pool = pool();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let entered = handle.enter();
        let _someone = pool.enter().ok().expect("the first");
        let queue = pool.enter().err().expect("somebody signs");
        drop(entered);
        let other = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let ended = other.block_on(async {
            tokio::time::timeout(Duration::from_secs(30), queue.run(|| 7)).await
        });
        assert_eq!(ended.expect("it is done").unwrap(), 7);
    }

    /// All threads are busy with other work, and the waiting callers give up.
    #[tokio::test]
    async fn who_gives_up_is_counted_no_more_at_once() {
        let pool: &'static _ = Box::leak(Box::new(SigningPool {
            queue: SigningQueue::with_cores(1),
            ..SigningPool::new()
        }));
        let someone = pool.enter().ok().expect("the first");
        let (let_go, waits) = std::sync::mpsc::channel::<()>();
        let held = pool.enter().err().expect("somebody signs");
        let held = tokio::spawn(held.run(move || waits.recv().is_err()));
        while pool.queue.counts() != (0, 1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let waiting: Vec<_> = (0..20)
            .map(|_| tokio::spawn(pool.enter().err().expect("somebody signs").run(|| 7)))
            .collect();
        tokio::task::yield_now().await;
        drop(someone);
        assert_eq!(pool.busy.load(Ordering::Relaxed), 21);
        for task in waiting {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
        assert_eq!(pool.busy.load(Ordering::Relaxed), 1);
        assert_eq!(pool.queue.counts().0, 0);
        drop(let_go);
        assert!(held.await.unwrap().unwrap());
        is_idle(pool, 0).await;
    }
}
