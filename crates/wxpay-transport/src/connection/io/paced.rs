//! Limits how long TLS handshakes compute before the runtime polls its timers and sockets.
//!
//! A handshake computes for about 300 µs. A runtime polls timers and sockets only after it has run all
//! ready tasks, or many of them: 64 handshakes at once delayed timers by 60 ms on a single-threaded runtime.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::yield_now;

/// How long all handshakes on a thread may compute between two polls of timers and sockets.
const PORTION: Duration = Duration::from_millis(1);

/// The time between two such polls.
#[derive(Clone, Copy)]
struct Turn {
    number: u64,
    /// How long handshakes have computed in it.
    computed: Duration,
}

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn { number: 0, computed: Duration::ZERO }) };
}

/// Runs a CPU-bound future, as long as this turn has time left.
pub(crate) async fn paced<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        while let Some(turn) = used_up() {
            // Tokio resumes this task after polling timers and sockets.
            yield_now().await;
            begin_after(turn);
        }
        let polled = poll_fn(|context| {
            let start = Instant::now();
            let polled = future.as_mut().poll(context);
            add(start.elapsed());
            Poll::Ready(polled)
        });
        if let Poll::Ready(output) = polled.await {
            return output;
        }
        woken().await;
    }
}

/// Returns the number of this turn if its time is used up.
fn used_up() -> Option<u64> {
    let turn = TURN.get();
    (turn.computed >= PORTION).then_some(turn.number)
}

/// Begins the turn after `number`, unless another task has.
fn begin_after(number: u64) {
    if TURN.get().number == number {
        TURN.set(Turn { number: number.wrapping_add(1), computed: Duration::ZERO });
    }
}

fn add(computed: Duration) {
    let turn = TURN.get();
    TURN.set(Turn { computed: turn.computed + computed, ..turn });
}

/// Waits until the task is woken by what it already waits for.
async fn woken() {
    let mut is_woken = false;
    poll_fn(
        |_| {
            if std::mem::replace(&mut is_woken, true) { Poll::Ready(()) } else { Poll::Pending }
        },
    )
    .await;
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    /// Computes for longer than `PORTION` at each poll.
    async fn compute(times: usize, log: Rc<Cell<usize>>) {
        for _ in 0..times {
            let start = Instant::now();
            while start.elapsed() < PORTION {
                std::hint::spin_loop();
            }
            log.set(log.get() + 1);
            yield_now().await;
        }
    }

    /// No two of them compute between two polls of the runtime, however fast the machine.
    #[test]
    fn the_runtime_looks_after_each_portion() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let local = tokio::task::LocalSet::new();
        let computed = Rc::new(Cell::new(0));
        let most = local.block_on(&runtime, async {
            let tasks: Vec<_> = (0..8)
                .map(|_| tokio::task::spawn_local(paced(compute(3, Rc::clone(&computed)))))
                .collect();
            let (mut before, mut most) = (0, 0);
            while tasks.iter().any(|task| !task.is_finished()) {
                yield_now().await;
                most = most.max(computed.get() - before);
                before = computed.get();
            }
            most
        });
        assert_eq!(computed.get(), 8 * 3, "each task ends");
        assert_eq!(most, 1, "portions between two looks");
    }

    /// A turn begun on one thread has no effect on another.
    #[test]
    fn a_task_that_moves_goes_on() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let ended = runtime.block_on(async {
            let tasks: Vec<_> = (0..32)
                .map(|_| {
                    tokio::spawn(paced(async {
                        for _ in 0..4 {
                            std::thread::sleep(PORTION);
                            yield_now().await;
                        }
                    }))
                })
                .collect();
            let mut ended = 0;
            for task in tasks {
                task.await.unwrap();
                ended += 1;
            }
            ended
        });
        assert_eq!(ended, 32);
    }
}
