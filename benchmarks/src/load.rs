//! Makes a number of calls with a number of callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::Result;
use crate::contender::Contender;
use crate::usage::cpu_seconds;

/// The result of a pass.
#[derive(Debug, Default)]
pub struct Pass {
    /// Number of calls made.
    pub calls: usize,
    /// Number of failed calls.
    pub failed: usize,
    /// Duration of all calls.
    pub seconds: f64,
    /// Processor time of this process meanwhile.
    pub cpu_seconds: f64,
    /// Duration of each call; empty if not kept.
    pub latencies_ns: Vec<u32>,
    /// The first failure.
    pub first_error: Option<String>,
}

/// Whether to keep the duration of each call, which takes memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Keep the duration of each call.
    Latencies,
    /// Keep nothing.
    Nothing,
}

/// Makes calls: the callers share the number, and each calls without a pause.
pub async fn run(contender: &Arc<Contender>, callers: usize, calls: usize, keep: Keep) -> Pass {
    let taken = Arc::new(AtomicUsize::new(0));
    let pause = std::env::var("PAUSE_US").ok().and_then(|us| us.parse().ok());
    let capacity = if keep == Keep::Latencies { calls / callers * 2 + 16 } else { 0 };
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let call_all = |caller| {
        let (contender, taken) = (Arc::clone(contender), Arc::clone(&taken));
        let mut own = Pass { latencies_ns: Vec::with_capacity(capacity), ..Pass::default() };
        tokio::spawn(async move {
            while taken.fetch_add(1, Ordering::Relaxed) < calls {
                let before = Instant::now();
                let result = contender.call(caller).await;
                if keep == Keep::Latencies {
                    let taken = u32::try_from(before.elapsed().as_nanos());
                    own.latencies_ns.push(taken.unwrap_or(u32::MAX));
                }
                own.count(result);
                if let Some(pause) = pause {
                    tokio::time::sleep(Duration::from_micros(pause)).await;
                }
            }
            own
        })
    };
    let tasks: Vec<_> = (0..callers).map(call_all).collect();
    let mut all = Pass::default();
    for task in tasks {
        match task.await {
            Ok(own) => all.add(own),
            Err(panic) => all.count(Err(panic.into())),
        }
    }
    // Those of the callers are 0.
    all.seconds = start.elapsed().as_secs_f64();
    all.cpu_seconds = cpu_seconds() - cpu;
    all
}

impl Pass {
    fn count(&mut self, result: Result<()>) {
        self.calls += 1;
        if let Err(error) = result {
            self.failed += 1;
            self.first_error.get_or_insert_with(|| chain(&*error));
        }
    }

    /// Adds the result of another pass, made at another time.
    pub fn add(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.cpu_seconds += other.cpu_seconds;
        self.calls += other.calls;
        self.failed += other.failed;
        self.latencies_ns.extend(other.latencies_ns);
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

/// Writes an error with all its sources.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let errors = std::iter::successors(Some(error), |error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
