//! A response belongs to its request: a server, or something in the middle, sends one response more than it was
//! asked for, or closes connections that wait, and no call takes that for its own.

mod ghost;
mod run;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wxpay_tests::own_process;

use self::run::{Moment, Run, Threads, Way, Wrong};

/// How often each is run, with other calls and other moments.
const TIMES: u64 = 8;
const AT_ONCE: usize = 8;

fn runs() -> Vec<Run> {
    let mut runs = Vec::new();
    for wrong in [
        Wrong::SignedNoContent,
        Wrong::UnsignedTooMany,
        Wrong::UnsignedBadRequest,
        Wrong::SignedQueryBody,
        Wrong::Unasked,
        Wrong::Closed,
    ] {
        for moment in [Moment::BeforeTheCall, Moment::Later, Moment::InFlight, Moment::InOneSegment]
        {
            for way in [Way::Plain, Way::Tls12, Way::Tls13] {
                for threads in
                    [Threads::Current, Threads::Multi, Threads::Spawned, Threads::Blocked]
                {
                    for _ in 0..TIMES {
                        let number = runs.len() as u64;
                        runs.push(Run { number, wrong, moment, way, threads });
                    }
                }
            }
        }
    }
    runs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_takes_the_response_to_another_for_its_own() {
    own_process!(alone);
    let (runs, turns) = (runs(), Arc::new(Semaphore::new(AT_ONCE)));
    let count = runs.len();
    assert!(count >= 2000, "{count}");
    let mut running = JoinSet::new();
    for run in runs {
        let turns = turns.clone();
        running.spawn(async move {
            let _turn = turns.acquire_owned().await.expect("it is not closed");
            run.go().await.map_err(|wrong| format!("{run:?}: {wrong}"))
        });
    }
    let mut wrong = Vec::new();
    while let Some(ended) = running.join_next().await {
        wrong.extend(ended.expect("a run that panics is a fault of the test").err());
    }
    println!("{count} runs, {} calls each", run::CALLS);
    assert!(wrong.is_empty(), "{} of {count} runs:\n{}", wrong.len(), wrong.join("\n"));
}
