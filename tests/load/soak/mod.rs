//! Many callers, and all faults, at random and for a while: in the end each call, signature, audit record and
//! received request is accounted for, and nothing is left behind.
//!
//! `WXPAY_SOAK_SECONDS` makes it longer, `WXPAY_SOAK_SEED` repeats the choices of a run (not its timing).

mod callers;
mod faults;
mod ledger;
mod notary;
mod reconcile;
mod world;

use std::time::Duration;

use wxpay_tests::footprint::{Footprint, resident_bytes};
use wxpay_tests::own_process;

use self::callers::run_callers;
use self::faults::Injector;
use self::ledger::Summary;
use self::world::World;

const CALLERS: usize = 64;
/// Between rounds, nothing is in progress.
const ROUNDS: u32 = 6;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|e| panic!("{name}: {e}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: run scripts/test"]
async fn nothing_is_unaccounted_for_and_nothing_is_left() {
    own_process!(alone);
    let seed = setting("WXPAY_SOAK_SEED").unwrap_or_else(|| fastrand::u64(..));
    let seconds = setting("WXPAY_SOAK_SECONDS").unwrap_or(60);
    println!("soak: WXPAY_SOAK_SEED={seed} WXPAY_SOAK_SECONDS={seconds}");
    let mut random = fastrand::Rng::with_seed(seed);

    let empty = Footprint::of_process();
    let mut world = World::new().await;
    let (mut total, mut resident) = (Summary::default(), Vec::new());
    for round in 0..ROUNDS {
        let round_time = Duration::from_secs(seconds) / ROUNDS;
        let faults = Injector::start(&world, &mut random);
        let calls = run_callers(&world, &mut random, CALLERS, round_time).await;
        let faults = faults.stop().await;
        let books = world.close(calls).await;
        let summary = reconcile::reconcile(&books, faults)
            .unwrap_or_else(|wrong| panic!("round {round}, seed {seed}:\n{}", wrong.join("\n")));
        total.add(summary);
        drop(books);
        empty.wait("after a round").await;
        resident.push(resident_bytes());
        world.open().await;
    }
    drop(world);
    empty.wait("at the end").await;

    println!("soak: {total}");
    let mib: Vec<_> = resident.iter().map(|bytes| bytes >> 20).collect();
    println!("soak: MiB resident after each round: {mib:?}");
    total.assert_that_much_happened();
    assert_no_growth(&resident, total.calls());
}

/// The first half of the rounds warms up: the allocator keeps what the largest round needed. The second half
/// makes thousands of calls, and some thousand connections of at least 40 KiB each (buffers of hyper and
/// rustls): a leak of one connection in ten, or of 4 KiB per call, would exceed this bound. The bound is wide
/// because rounds differ in size, and the allocator returns little memory.
fn assert_no_growth(resident: &[u64], calls: usize) {
    let (first, second) = resident.split_at(resident.len() / 2);
    let largest = |rounds: &[u64]| rounds.iter().copied().max().unwrap_or_default();
    let bound = largest(first) + (24 << 20);
    assert!(largest(second) <= bound, "{resident:?} bytes resident, after {calls} calls");
}
