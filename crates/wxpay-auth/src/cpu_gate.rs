//! Where the CPU work of a signature is done: on the spot, or on a blocking thread.
//!
//! On the spot is cheapest (moving it costs 28 to 40 µs of wake-ups), and under load it starves the
//! runtime: a worker that signs for one task after the other does not look at its timers and
//! sockets. So a signature is computed on the spot only while nobody else signs *and* the last one
//! computed so lies a moment back. The second condition is what counts on a single worker, where
//! signatures on the spot never overlap.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// The cores belong to the process, so all its signers share one gate.
static SHARED: LazyLock<CpuGate> = LazyLock::new(CpuGate::new);

/// The shortest pause after a signature on the spot before the next one may be. It is longer than a
/// worker takes from one runnable task to the next, and shorter than any round trip of a lone caller.
const PAUSE: Duration = Duration::from_micros(40);

#[derive(Debug)]
pub(crate) struct CpuGate {
    start: Instant,
    /// How many sign now, or wait for it.
    busy: AtomicUsize,
    /// When the last signature on the spot ended, in nanoseconds since `start`; 0 before the first.
    last_end: AtomicU64,
    permits: Arc<Semaphore>,
}

impl CpuGate {
    fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            start: Instant::now(),
            busy: AtomicUsize::new(0),
            last_end: AtomicU64::new(0),
            permits: Arc::new(Semaphore::new(cores)),
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
    /// Computes on a blocking thread, as many at a time as there are cores. When the caller gives up,
    /// the permit and the count stay with the work until it ends.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let permit = Arc::clone(&self.busy.gate.permits).acquire_owned().await;
        tokio::task::spawn_blocking(move || {
            // The semaphore is never closed, so this is always a permit.
            let _permit = permit;
            let _busy = self.busy;
            work()
        })
        .await
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

    #[tokio::test]
    async fn a_caller_that_gives_up_leaves_no_count_and_no_permit_behind() {
        let gate = gate();
        let _someone = gate.enter().ok().expect("the first");
        let cores = gate.permits.available_permits();
        for _ in 0..100 {
            let queue = gate.enter().err().expect("somebody signs");
            let work = tokio::spawn(queue.run(|| std::thread::sleep(Duration::from_millis(1))));
            tokio::task::yield_now().await;
            work.abort();
        }
        let all = u32::try_from(cores).unwrap();
        let permits = tokio::time::timeout(Duration::from_secs(30), gate.permits.acquire_many(all));
        assert!(permits.await.is_ok(), "every permit comes back");
        let counted_down = async {
            while gate.busy.load(Ordering::Relaxed) > 1 {
                tokio::task::yield_now().await;
            }
        };
        let counted_down = tokio::time::timeout(Duration::from_secs(30), counted_down).await;
        assert!(counted_down.is_ok(), "every count is taken back");
    }

    #[test]
    fn a_runtime_that_shuts_down_gives_an_error() {
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
        assert!(matches!(ended, std::task::Poll::Ready(Err(_))), "{ended:?}");
        assert_eq!(gate.busy.load(Ordering::Relaxed), 1);
    }
}
