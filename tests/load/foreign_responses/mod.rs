//! Responses belong to their requests: a server or an intermediary sends one response too many, or closes
//! idle connections, and no call accepts a response to another one.

mod ghost;
mod run;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use wxpay_tests::own_process;

use self::run::{Moment, Run, Surplus, Threads, Way, Wrong};

const AT_ONCE: usize = 8;

/// Returns all faults, each with the number of runs, which differ in calls and timing.
fn wrongs() -> Vec<(Wrong, u64)> {
    let mut wrongs = vec![(Wrong::Unasked, 11), (Wrong::Closed, 32)];
    for surplus in [
        Surplus::SignedNoContent,
        Surplus::UnsignedTooMany,
        Surplus::UnsignedBadRequest,
        Surplus::SignedQueryBody,
    ] {
        for moment in [Moment::BeforeTheCall, Moment::Later, Moment::InFlight, Moment::InOneSegment]
        {
            wrongs.push((Wrong::TooMany(surplus, moment), 11));
        }
    }
    wrongs
}

fn runs() -> Vec<Run> {
    let mut runs = Vec::new();
    for (wrong, times) in wrongs() {
        for way in [Way::Plain, Way::Tls12, Way::Tls13] {
            for threads in [Threads::Current, Threads::Multi, Threads::Spawned, Threads::Blocked] {
                for _ in 0..times {
                    let number = runs.len() as u64;
                    runs.push(Run { number, wrong, way, threads });
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
    let mut running = JoinSet::new();
    for run in runs {
        let turns = turns.clone();
        running.spawn(async move {
            let _turn = turns.acquire_owned().await.expect("it is not closed");
            (run, run.go().await)
        });
    }
    let (mut surplus, mut closed, mut wrong) = (0, 0, Vec::new());
    while let Some(ended) = running.join_next().await {
        let (run, ended) = ended.expect("a run that panics is a fault of the test");
        match (run.wrong, ended) {
            (_, Err(why)) => wrong.push(format!("{run:?}: {why}")),
            (Wrong::TooMany(..), Ok(sent)) => surplus += sent,
            (Wrong::Closed, Ok(_)) => closed += 1,
            (Wrong::Unasked, Ok(_)) => {}
        }
    }
    println!(
        "{count} runs of {} calls, {surplus} with one response too many, {closed} with closed connections",
        run::CALLS
    );
    assert!(wrong.is_empty(), "{} of {count} runs:\n{}", wrong.len(), wrong.join("\n"));
    assert!(surplus >= 2000 && closed >= 384, "{surplus}, {closed}");
}
