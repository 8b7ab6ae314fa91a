//! How often a call allocates, compared with the same call made with bare hyper and bare RSA.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the parts of the benchmark are used here"
)]

#[path = "../benches/whole_call/floor.rs"]
mod floor;
#[path = "../benches/whole_call/kept.rs"]
mod kept;
#[path = "../benches/whole_call/sdk.rs"]
mod sdk;
#[path = "../benches/whole_call/server.rs"]
mod server;
#[path = "../benches/whole_call/stub.rs"]
mod stub;

use wxpay_auth::{Backend, foreign_text};
use wxpay_transport::{Replay, Request, Target, Transport};

use crate::floor::Floor;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Allocations that a call may make beyond those of the bare call.
const BUDGET: u64 = 12;

/// Further allocations when it opens a connection, without TLS.
const CONNECTION: u64 = 60;

const CALLS: u64 = 50;

/// Counts the allocations of each call after warm-up. The stub makes none.
async fn allocations<F: Future<Output = ()>>(call: impl Fn() -> F) -> u64 {
    for _ in 0..5 {
        call().await;
    }
    let before = dhat::HeapStats::get().total_blocks;
    for _ in 0..CALLS {
        call().await;
    }
    (dhat::HeapStats::get().total_blocks - before) / CALLS
}

// A single test: the counter is shared by the whole process.
#[tokio::test]
async fn a_call_allocates_little_more_than_a_bare_one() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let address = stub::start();
    for backend in [Backend::Ring, Backend::AwsLcRs] {
        let floor = Floor::connect(address, backend).await;
        let bare = allocations(|| floor.call()).await;
        let (client, target) =
            (sdk::client(address, backend), Target::new(sdk::TARGET).expect("a target"));
        let whole = allocations(|| async {
            let request = Request::post("bench", target.clone()).with_replay(Replay::Safe);
            client.send(request.recognised_by(<[u8]>::is_empty)).await.expect("a response");
        })
        .await;
        let unused = allocations(|| async {
            let request = Request::post("bench", target.clone());
            client.send(request).await.expect("a response");
        })
        .await;
        println!(
            "{backend}: {whole} allocations for a call, {bare} for a bare one, {unused} for a call on a \
             connection of its own"
        );
        assert!(bare > 0, "they are counted");
        assert!(whole <= bare + BUDGET, "{backend}: {whole} for a call, {bare} for a bare one");
        assert!(unused <= whole + CONNECTION, "{backend}: {unused} on a connection of its own");
    }
    let sent = r"0123456789abcdef \/ %2B &amp; ".repeat(30_000);
    let before = dhat::HeapStats::get().total_blocks;
    let shown = foreign_text("a message that is longer than a piece", 300, &[&sent]);
    let made = dhat::HeapStats::get().total_blocks - before;
    println!("{made} allocations for a text, after {} bytes were sent", sent.len());
    assert_eq!(shown, "a message that is longer than a piece");
    assert!(made < 100, "{made} allocations for {} bytes", sent.len());
}
