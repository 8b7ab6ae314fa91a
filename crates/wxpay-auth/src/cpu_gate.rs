//! Where the CPU work of a signature is done: on the spot, or on a blocking thread.
//!
//! On the spot is cheapest (moving it costs 28 to 40 µs of wake-ups), and under load it starves the
//! runtime: a worker that signs for one task after the other does not look at its timers and
//! sockets. So a signature is computed on the spot only while nobody else signs *and* the last one
//! computed so lies a moment back. The second condition is what counts on a single worker, where
//! signatures on the spot never overlap.
//!
//! What is moved away is queued, and as many blocking threads as there are cores work the queue off. Under
//! load they find the next signature when one is done, and need not be woken for each.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;

/// The cores belong to the process, so all its signers share one gate.
static SHARED: LazyLock<CpuGate> = LazyLock::new(CpuGate::new);

/// The shortest pause after a signature on the spot before the next one may be. It is longer than a
/// worker takes from one runnable task to the next, and shorter than any round trip of a lone caller.
const PAUSE: Duration = Duration::from_micros(40);

pub(crate) struct CpuGate {
    start: Instant,
    /// How many sign now, or wait for it.
    busy: AtomicUsize,
    /// When the last signature on the spot ended, in nanoseconds since `start`; 0 before the first.
    last_end: AtomicU64,
    cores: usize,
    jobs: Mutex<Jobs>,
}

/// A signature to be computed, and somebody who waits for it.
trait Job: Send {
    fn compute(&mut self);

    /// Hands the result over, which wakes a thread of the runtime.
    fn deliver(self: Box<Self>);
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Box<dyn Job>>,
    /// How many threads work them off, or will soon.
    workers: usize,
}

impl CpuGate {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            busy: AtomicUsize::new(0),
            last_end: AtomicU64::new(0),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            jobs: Mutex::default(),
        }
    }

    pub(crate) fn shared() -> &'static Self {
        &SHARED
    }

    /// Decides: `Ok` to compute on the spot, `Err` to queue for a blocking thread.
    pub(crate) fn enter(&'static self) -> Result<Turn, Queue> {
        let busy = Busy::new(self);
        if Handle::try_current().is_err() || (busy.alone && self.rested()) {
            Ok(Turn { busy })
        } else {
            Err(Queue { busy })
        }
    }

    fn rested(&self) -> bool {
        let last_end = self.last_end.load(Ordering::Relaxed);
        last_end == 0 || self.elapsed_nanos().saturating_sub(last_end) >= nanos(PAUSE)
    }

    /// Queues a job, and sees to it that somebody works it off.
    fn submit(&'static self, job: Box<dyn Job>) {
        let mut jobs = self.jobs();
        jobs.waiting.push_back(job);
        if jobs.workers == self.cores {
            return;
        }
        jobs.workers += 1;
        drop(jobs);
        let mut worker = Worker { gate: self, has_ended: false };
        tokio::task::spawn_blocking(move || worker.work());
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        // No job runs while the lock is held, and nothing else in here panics.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elapsed_nanos(&self) -> u64 {
        nanos(self.start.elapsed())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Counts one signature from its start to its end, however it ends.
struct Busy {
    gate: &'static CpuGate,
    alone: bool,
}

impl Busy {
    fn new(gate: &'static CpuGate) -> Self {
        let alone = gate.busy.fetch_add(1, Ordering::Relaxed) == 0;
        Self { gate, alone }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.gate.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Stands for the right to compute on the spot.
pub(crate) struct Turn {
    busy: Busy,
}

impl Turn {
    pub(crate) fn done(self) {
        let gate = self.busy.gate;
        gate.last_end.store(gate.elapsed_nanos().max(1), Ordering::Relaxed);
    }
}

/// Stands for a place in the queue.
pub(crate) struct Queue {
    busy: Busy,
}

impl Queue {
    /// Computes on a blocking thread, as many at a time as there are cores. When the caller gives up
    /// before it is begun, it is left out.
    ///
    /// # Errors
    /// [`RecvError`] when the work panicked.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RecvError> {
        let (caller, done) = oneshot::channel();
        let gate = self.busy.gate;
        gate.submit(Box::new(Task { work: Some(work), result: None, caller, busy: self.busy }));
        done.await
    }
}

struct Task<W, T> {
    work: Option<W>,
    result: Option<T>,
    caller: oneshot::Sender<T>,
    busy: Busy,
}

impl<W: FnOnce() -> T + Send, T: Send> Job for Task<W, T> {
    fn compute(&mut self) {
        if let Some(work) = self.work.take().filter(|_| !self.caller.is_closed()) {
            // What panics leaves no result, which its caller is told; the others are not to suffer.
            self.result = catch_unwind(AssertUnwindSafe(work)).ok();
        }
    }

    fn deliver(self: Box<Self>) {
        let Self { result, caller, busy, .. } = *self;
        // The caller may sign again at once: it is to find itself alone then.
        drop(busy);
        if let Some(result) = result {
            // One that has given up meanwhile does not take it.
            let _ = caller.send(result);
        }
    }
}

/// Works the queue off until it is empty. Where a runtime that shuts down takes no more work, that happens
/// when this is dropped.
struct Worker {
    gate: &'static CpuGate,
    has_ended: bool,
}

/// How many results are handed over together while many wait.
const TOGETHER: usize = 4;

impl Worker {
    fn work(&mut self) {
        let mut done: Vec<Box<dyn Job>> = Vec::with_capacity(TOGETHER);
        while let Some((mut job, many_wait)) = self.next() {
            job.compute();
            done.push(job);
            // Each result wakes a thread of the runtime, which takes the core from this one. Where many
            // wait, they wait for the cores, and lose nothing when several results come at once.
            if !many_wait || done.len() == TOGETHER {
                done.drain(..).for_each(Job::deliver);
            }
        }
        // The other threads may have taken those that waited.
        done.into_iter().for_each(Job::deliver);
    }

    /// Takes the next job; tells whether many wait behind it.
    fn next(&mut self) -> Option<(Box<dyn Job>, bool)> {
        let mut jobs = self.gate.jobs();
        let next = jobs.waiting.pop_front();
        if next.is_none() {
            // Under the lock: whoever queues the next job starts another worker.
            jobs.workers -= 1;
            self.has_ended = true;
        }
        next.map(|job| (job, jobs.waiting.len() >= 2 * self.gate.cores))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.has_ended {
            self.work();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> &'static CpuGate {
        Box::leak(Box::new(CpuGate::new()))
    }

    #[test]
    fn without_a_runtime_it_is_done_on_the_spot() {
        let gate = gate();
        let first = gate.enter().is_ok();
        let second = gate.enter().is_ok();
        assert!(first && second);
    }

    #[tokio::test]
    async fn only_a_lone_caller_computes_on_the_spot() {
        let gate = gate();
        let lone = gate.enter().ok().expect("nobody else signs");
        let second = gate.enter().err().expect("somebody signs");
        assert_eq!(second.run(|| 7).await.unwrap(), 7);
        drop(lone);
        assert_eq!(gate.busy.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn one_right_after_the_other_is_moved_away() {
        let gate = gate();
        gate.enter().ok().expect("the first").done();
        // As if the last one ended now, whatever time this test takes to come here.
        gate.last_end.store(u64::MAX / 2, Ordering::Relaxed);
        assert!(gate.enter().is_err());
        gate.last_end.store(1, Ordering::Relaxed);
        std::thread::sleep(PAUSE);
        assert!(gate.enter().is_ok());
    }

    /// Waits until nobody signs but those who hold a turn.
    async fn is_idle(gate: &CpuGate, turns: usize) {
        let idle = async {
            while gate.busy.load(Ordering::Relaxed) > turns || gate.jobs().workers > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), idle).await.expect("all counts come back");
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_leaves_no_count_and_no_worker_behind() {
        let gate = gate();
        let _someone = gate.enter().ok().expect("the first");
        for _ in 0..100 {
            let queue = gate.enter().err().expect("somebody signs");
            let work = tokio::spawn(queue.run(|| std::thread::sleep(Duration::from_millis(1))));
            tokio::task::yield_now().await;
            work.abort();
        }
        is_idle(gate, 1).await;
        assert!(gate.jobs().waiting.is_empty());
    }

    #[tokio::test]
    async fn no_more_run_at_a_time_than_there_are_cores_and_those_given_up_not_at_all() {
        let gate = gate();
        let _someone = gate.enter().ok().expect("the first");
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
        // These keep all cores busy until they are let go.
        let (let_go, waits) = std::sync::mpsc::channel::<()>();
        let waits = std::sync::Arc::new(Mutex::new(waits));
        let blocking: Vec<_> = (0..gate.cores)
            .map(|_| {
                let (queue, waits) = (gate.enter().err().expect("somebody signs"), waits.clone());
                tokio::spawn(queue.run(move || waits.lock().unwrap().recv().is_err()))
            })
            .collect();
        let signing = |_| tokio::spawn(gate.enter().err().expect("somebody signs").run(work));
        let (given_up, waiting): (Vec<_>, Vec<_>) =
            ((0..20).map(signing).collect(), (0..20).map(signing).collect());
        while gate.jobs().waiting.len() < 40 {
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
        assert!((1..=gate.cores).contains(&most.load(Ordering::SeqCst)));
        assert_eq!(ran.load(Ordering::SeqCst), 20);
        is_idle(gate, 1).await;
    }

    #[tokio::test]
    async fn a_result_that_was_held_back_is_handed_over_when_others_took_the_rest() {
        let gate: &'static _ = Box::leak(Box::new(CpuGate { cores: 2, ..CpuGate::new() }));
        let _someone = gate.enter().ok().expect("the first");
        // Computed when it is let go.
        let held = || {
            let (let_go, waits) = std::sync::mpsc::channel::<()>();
            let queue = gate.enter().err().expect("somebody signs");
            (let_go, tokio::spawn(queue.run(move || waits.recv().is_err())))
        };
        let (first, second) = (held(), held());
        while gate.jobs().workers < 2 || !gate.jobs().waiting.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let slow = held();
        tokio::task::yield_now().await;
        let quick = (0..10).map(|n| {
            let queue = gate.enter().err().expect("somebody signs");
            tokio::spawn(queue.run(move || n))
        });
        let quick: Vec<_> = quick.collect();
        while gate.jobs().waiting.len() < 11 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // One thread takes the slow one, with many behind it, and the other one all of these.
        drop(first.0);
        while gate.jobs().waiting.len() == 11 {
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
        is_idle(gate, 1).await;
    }

    #[tokio::test]
    async fn work_that_panics_harms_nobody_else() {
        let gate = gate();
        let _someone = gate.enter().ok().expect("the first");
        let panics =
            gate.enter().err().expect("somebody signs").run(|| -> u8 { panic!("on purpose") });
        let works = gate.enter().err().expect("somebody signs").run(|| 7);
        let (panicked, worked) = tokio::join!(panics, works);
        assert!(panicked.is_err());
        assert_eq!(worked.unwrap(), 7);
        is_idle(gate, 1).await;
    }

    #[test]
    fn where_a_runtime_shuts_down_it_is_done_on_the_spot() {
        let gate = gate();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let _entered = handle.enter();
        let _someone = gate.enter().ok().expect("the first");
        let queue = gate.enter().err().expect("somebody signs");
        let mut work = Box::pin(queue.run(|| 7));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let ended = work.as_mut().poll(&mut context);
        assert!(matches!(ended, std::task::Poll::Ready(Ok(7))), "{ended:?}");
        assert_eq!((gate.busy.load(Ordering::Relaxed), gate.jobs().workers), (1, 0));
    }
}
