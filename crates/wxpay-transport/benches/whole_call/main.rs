//! The whole call compared with bare hyper and bare RSA: what the library adds.
//!
//! ```sh
//! cargo bench -p wxpay-transport --bench whole_call
//! ```
//!
//! Each call signs, sends an empty POST over a kept connection on loopback, and verifies the response.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "a benchmark may panic"
)]

mod floor;
mod kept;
mod sdk;
mod server;
mod stub;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use wxpay_auth::Backend;
use wxpay_transport::{Request, Target, Transport};

use crate::floor::Floor;

fn whole_call(criterion: &mut Criterion) {
    let address = stub::start();
    for backend in [Backend::Ring, Backend::AwsLcRs] {
        let runtime = Runtime::new().expect("a runtime");
        let floor = runtime.block_on(Floor::connect(address, backend));
        let client = sdk::client(address, backend);
        let target = Target::new(sdk::TARGET).expect("a target");

        let mut group = criterion.benchmark_group(format!("whole call, one caller, {backend}"));
        group.bench_function("bare hyper and RSA", |b| b.to_async(&runtime).iter(|| floor.call()));
        group.bench_function("wxpay", |b| {
            b.to_async(&runtime).iter(|| async {
                let response = client.send(Request::post("bench", target.clone())).await;
                black_box(response.expect("a response"));
            });
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = whole_call
}
criterion_main!(benches);
