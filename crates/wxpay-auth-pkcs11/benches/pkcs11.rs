//! The overhead of `Pkcs11Signer` compared with the bare token, and its effect on the runtime.
//!
//! ```sh
//! scripts/with-tokens cargo bench -p wxpay-auth-pkcs11 --bench pkcs11 --features pkcs11
//! ```
//!
//! The bare token is one thread per session, which signs a precomputed `DigestInfo` and ignores the
//! signature. The signer hashes, queues, wakes up, signs, and verifies each signature. They run in
//! alternating turns; the ratio of adjacent turns is the result. `WXPAY_BENCH_MILLIS` sets the
//! length of a turn, 1000 by default. On a busy machine the turns do not get equal shares of the
//! processor: then the processor time per signature is more meaningful than the signatures per
//! second.
//!
//! The timer has a period of 1 ms and runs on the same runtime as 64 signing callers. It is
//! compared with an idle runtime, and with blocking calls of the token on the runtime.
//!
//! `cargo test` runs everything once, without measuring.

#![allow(clippy::expect_used, clippy::print_stdout, missing_docs, reason = "a benchmark")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use wxpay_auth_core::Signer;
use wxpay_auth_pkcs11::Pkcs11Signer;

#[path = "pkcs11/token.rs"]
mod token;

use token::{Bare, Token, variable};

/// The length and the number of turns.
struct Plan {
    turn: Duration,
    rounds: usize,
    timer: Duration,
}

async fn sign(signer: &Pkcs11Signer) {
    signer.sign(b"message").await.expect("a signature");
}

/// The result of a turn.
struct Turn {
    per_second: f64,
    /// The processor time of this process per signature, in microseconds.
    cost: f64,
}

impl Turn {
    /// Signs for some time; `signing` stops at the given time, and returns the number of
    /// signatures.
    fn take(time: Duration, signing: impl FnOnce(Instant) -> u32) -> Self {
        let (start, spent) = (Instant::now(), processor_time());
        let count = f64::from(signing(start + time));
        let per_second = count / start.elapsed().as_secs_f64();
        Self { per_second, cost: (processor_time() - spent) / count }
    }

    /// Signs without the signer, with a thread per session.
    fn bare(sessions: &mut [Bare], time: Duration) -> Self {
        let signing = |session: &mut Bare, until: Instant| {
            let mut count = 0_u32;
            loop {
                session.sign();
                count += 1;
                if Instant::now() >= until {
                    return count;
                }
            }
        };
        Self::take(time, |until| {
            std::thread::scope(|scope| {
                let start = |session| scope.spawn(move || signing(session, until));
                let threads: Vec<_> = sessions.iter_mut().map(start).collect();
                threads.into_iter().map(|thread| thread.join().expect("an end")).sum()
            })
        })
    }

    /// Signs with four callers per session of the signer.
    fn signer(runtime: &Runtime, signer: &Pkcs11Signer, callers: usize, time: Duration) -> Self {
        Self::take(time, |until| {
            let call = |_| {
                let signer = signer.clone();
                runtime.spawn(async move {
                    let mut count = 0_u32;
                    loop {
                        sign(&signer).await;
                        count += 1;
                        if Instant::now() >= until {
                            return count;
                        }
                    }
                })
            };
            let tasks: Vec<_> = (0..callers).map(call).collect();
            tasks.into_iter().map(|task| runtime.block_on(task).expect("an end")).sum()
        })
    }
}

/// Returns the processor time of this process, in microseconds; 0 on systems other than Linux.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // Fields 14 and 15 of proc_pid_stat(5), in ticks of 10 ms.
    let ticks = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() * 10_000.0
}

fn throughput(token: &Token, plan: &Plan) {
    let runtime = two_threads();
    for sessions in [1, 2, 4, 8] {
        let signer = token.signer(&runtime, sessions);
        let mut bare = token.bare(sessions);
        let mut round = |time| {
            let bare = Turn::bare(&mut bare, time);
            (bare, Turn::signer(&runtime, &signer, 4 * sessions, time))
        };
        round(plan.turn / 5);
        let rounds: Vec<_> = (0..plan.rounds).map(|_| round(plan.turn)).collect();
        let of = |value: fn(&(Turn, Turn)) -> f64| spread(rounds.iter().map(value));
        let [bare, ..] = of(|(bare, _)| bare.per_second);
        let [rate, ..] = of(|(_, signer)| signer.per_second);
        let [ratio, lowest, highest] = of(|(bare, signer)| signer.per_second / bare.per_second);
        let [bare_cost, ..] = of(|(bare, _)| bare.cost);
        let [cost, ..] = of(|(_, signer)| signer.cost);
        println!(
            "{:<13} {sessions:8} {bare:8.0} {rate:9.0}   {ratio:.2} ({lowest:.2} to {highest:.2})   \
             {bare_cost:8.0} {cost:10.0}   {:.2}",
            token.name,
            bare_cost / cost
        );
        runtime.block_on(signer.shut_down()).expect("an end");
    }
}

/// The callers that sign while the timer runs.
enum Callers {
    None,
    OnTheSpot(Arc<Mutex<Vec<Bare>>>),
    Signer(Pkcs11Signer),
}

/// Returns how late a timer of 1 ms is, and the number of signatures per second.
fn lateness(runtime: &Runtime, callers: &Callers, time: Duration) -> String {
    let done = Arc::new(AtomicBool::new(false));
    let call = |_| {
        let done = Arc::clone(&done);
        match callers {
            Callers::None => runtime.spawn(async { 0_u32 }),
            Callers::OnTheSpot(sessions) => {
                let sessions = Arc::clone(sessions);
                runtime.spawn(async move {
                    let mut count = 0;
                    while !done.load(Ordering::Relaxed) {
                        let session = sessions.lock().expect("no panic").pop().expect("a session");
                        session.sign();
                        sessions.lock().expect("no panic").push(session);
                        count += 1;
                        tokio::task::yield_now().await;
                    }
                    count
                })
            }
            Callers::Signer(signer) => {
                let signer = signer.clone();
                runtime.spawn(async move {
                    let mut count = 0;
                    while !done.load(Ordering::Relaxed) {
                        sign(&signer).await;
                        count += 1;
                    }
                    count
                })
            }
        }
    };
    let tasks: Vec<_> = (0..64).map(call).collect();
    let timer = runtime.spawn(async move {
        let (start, mut late) = (Instant::now(), Vec::new());
        while start.elapsed() < time {
            let before = Instant::now();
            tokio::time::sleep(Duration::from_millis(1)).await;
            late.push(before.elapsed().saturating_sub(Duration::from_millis(1)));
        }
        late
    });
    let start = Instant::now();
    let mut late = runtime.block_on(timer).expect("an end");
    done.store(true, Ordering::Relaxed);
    let mut count = 0;
    for task in tasks {
        count += runtime.block_on(task).expect("an end");
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    late.sort();
    let at = |percent: usize| late.get((late.len() * percent / 100).min(late.len() - 1)).copied();
    let [p50, p99, worst] = [50, 99, 100].map(|percent| {
        let late = at(percent).unwrap_or_default();
        format!("{:9.2}", late.as_secs_f64() * 1e3)
    });
    format!("{p50} {p99} {worst}   {rate:6.0}")
}

fn timers(token: &Token, plan: &Plan) {
    for (name, runtime) in [("two threads", two_threads()), ("one thread", one_thread())] {
        let signer = token.signer(&runtime, 4);
        let bare = Arc::new(Mutex::new(token.bare(4)));
        for (how, callers) in [
            ("nobody signs", Callers::None),
            ("Pkcs11Signer", Callers::Signer(signer.clone())),
            ("on the spot", Callers::OnTheSpot(Arc::clone(&bare))),
        ] {
            let late = lateness(&runtime, &callers, plan.timer);
            println!("{:<13} {name:<12} {how:<13} {late}", token.name);
        }
        runtime.block_on(signer.shut_down()).expect("an end");
    }
}

/// Returns the median, the minimum and the maximum.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    [values.len() / 2, 0, values.len() - 1].map(|at| values.get(at).copied().unwrap_or_default())
}

fn two_threads() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn main() {
    let tokens = Token::all();
    if tokens.is_empty() {
        println!("no token is configured; to prepare some and measure, run:");
        println!(
            "scripts/with-tokens cargo bench -p wxpay-auth-pkcs11 --bench pkcs11 --features pkcs11"
        );
        return;
    }
    let has = |wanted| std::env::args().any(|argument| argument == wanted);
    let plan = if has("--bench") && !has("--test") {
        let turn = variable("WXPAY_BENCH_MILLIS").and_then(|turn| turn.parse().ok());
        let turn = Duration::from_millis(turn.unwrap_or(1000));
        Plan { turn, rounds: 7, timer: 3 * turn }
    } else {
        println!("each part ran once, so the figures mean nothing; use cargo bench to measure");
        let turn = Duration::from_millis(1);
        Plan { turn, rounds: 1, timer: 5 * turn }
    };
    println!(
        "token         sessions   bare/s  signer/s   ratio (lowest, highest)   bare, µs signer, µs   ratio"
    );
    for token in &tokens {
        throughput(token, &plan);
    }
    println!("\na 1 ms timer beside 64 callers: late by p50, p99, worst (ms)   signatures/s");
    for token in &tokens {
        timers(token, &plan);
    }
}
