//! Makes and times the calls: the same code for every client in Rust.

use std::env;
use std::fmt::Display;
use std::fs;
use std::future::Future;
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{json, Value};

/// Linux reports processor time in hundredths of a second in `/proc`.
const TICKS_PER_SECOND: f64 = 100.0;

/// How many calls to make, and with how many concurrent callers.
pub struct Plan {
    pub calls: usize,
    pub concurrency: usize,
    pub warmup: usize,
}

impl Plan {
    pub fn from_environment() -> Result<Self, String> {
        Ok(Self {
            calls: number("CALLS")?,
            concurrency: number("CONCURRENCY")?,
            warmup: number("WARMUP")?,
        })
    }
}

/// Makes the warm-up calls and the measured ones, and returns what to print.
pub async fn measure<F, Fut>(plan: Plan, call: F) -> Value
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<(), String>> + Send,
{
    let first = Arc::new(AtomicBool::new(true));
    make(plan.warmup, plan.concurrency, &first, &call).await;
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut outcome = make(plan.calls, plan.concurrency, &first, &call).await;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    outcome.latencies.sort_unstable();
    json!({
        "calls": plan.calls,
        "failed": outcome.failed,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "p50_us": quantile(&outcome.latencies, 0.5),
        "p99_us": quantile(&outcome.latencies, 0.99),
        "p999_us": quantile(&outcome.latencies, 0.999),
        "peak_rss_kib": peak_rss_kib(),
        "first_error": outcome.first_error,
    })
}

#[derive(Default)]
struct Outcome {
    latencies: Vec<Duration>,
    failed: usize,
    first_error: Option<String>,
}

/// Makes the calls, shared among callers that each call without a pause.
async fn make<F, Fut>(calls: usize, callers: usize, first: &Arc<AtomicBool>, call: &F) -> Outcome
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<(), String>> + Send,
{
    let taken = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let (taken, first, call) = (taken.clone(), first.clone(), call.clone());
            tokio::spawn(async move {
                let mut own = Outcome::default();
                while taken.fetch_add(1, Relaxed) < calls {
                    let start = Instant::now();
                    let result = call().await;
                    own.latencies.push(start.elapsed());
                    match result {
                        Ok(()) if first.swap(false, Relaxed) => say_first(),
                        Ok(()) => {}
                        Err(error) => {
                            own.failed += 1;
                            own.first_error.get_or_insert(error);
                        }
                    }
                }
                own
            })
        })
        .collect();
    let mut all = Outcome::default();
    for caller in callers {
        let own = caller.await.expect("no caller panics");
        all.latencies.extend(own.latencies);
        all.failed += own.failed;
        all.first_error = all.first_error.or(own.first_error);
    }
    all
}

fn say_first() {
    println!("first");
    io::stdout().flush().expect("standard output is open");
}

fn quantile(sorted: &[Duration], q: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * q).ceil() as usize;
    let latency = sorted.get(rank.saturating_sub(1))?;
    Some(latency.as_secs_f64() * 1e6)
}

/// Returns the processor time of this process and all its threads, user and system.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    // The second field is the program's name in parentheses, and may contain spaces.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
    ticks as f64 / TICKS_PER_SECOND
}

fn peak_rss_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn number<T: FromStr<Err: Display>>(name: &str) -> Result<T, String> {
    let value = env::var(name).map_err(|e| format!("{name}: {e}"))?;
    value.parse().map_err(|e| format!("{name}: {e}"))
}
