//! What a job with a journal costs, compared with a bare loop of the same calls, on a gateway of this machine.
//!
//! ```sh
//! cargo bench -p wxpay-marketing --features bulk --bench bulk
//! ```

#![allow(clippy::expect_used, missing_docs, reason = "a benchmark")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::task::JoinSet;
use wxpay_auth::{BrandId, FileKeySigner, KeyRing};
use wxpay_marketing::{BulkJournal, BulkTermination, DeliveryPlans, JobOwner, ListPlans, PlanId};
use wxpay_testing::{Gateway, Plan, WechatPay};
use wxpay_transport::{BaseUrl, Client, NoRateLimit, Proxy};

const PLANS: usize = 400;
const AT_A_TIME: usize = 16;

async fn gateway() -> Gateway {
    let builder = (0..PLANS).fold(WechatPay::builder(), |builder, n| {
        builder.plan(Plan::new((200_000 + n).to_string(), "1004"))
    });
    Gateway::builder().wechat_pay(builder.build()).start().await.expect("a port")
}

fn service(gateway: &Gateway) -> DeliveryPlans<Client<FileKeySigner, KeyRing>> {
    let client = Client::builder(gateway.mchid(), gateway.signer(), gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url()).expect("an origin"))
        .proxy(Proxy::none())
        .rate_limiter(NoRateLimit)
        .build();
    DeliveryPlans::new(client.expect("a client"))
}

/// Ends all plans, so many at a time, and keeps nothing.
async fn bare_loop() -> Duration {
    let gateway = gateway().await;
    let (plans, next) = (Arc::new(service(&gateway)), Arc::new(AtomicUsize::new(0)));
    let begin = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..AT_A_TIME {
        let (plans, next) = (Arc::clone(&plans), Arc::clone(&next));
        callers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= PLANS {
                    break;
                }
                let id = PlanId::new((200_000 + n).to_string()).expect("an id");
                plans.terminate(&id).await.expect("it ends");
            }
        });
    }
    callers.join_all().await;
    begin.elapsed()
}

/// Ends all plans with a journal: the same calls.
async fn job() -> Duration {
    let gateway = gateway().await;
    let plans = service(&gateway);
    let owner = JobOwner::new(gateway.mchid(), plans.transport().base_url());
    let path = std::env::temp_dir().join(format!("wxpay-bulk-bench-{}", std::process::id()));
    let mut journal = BulkJournal::open(&path, &owner).expect("a journal");
    let all = ListPlans::new(BrandId::new("1004").expect("an id"));
    journal.list_brand(&plans, all, |_| true).await.expect("a list");
    let job = BulkTermination::new(plans)
        .concurrency(AT_A_TIME)
        .without_lookup_of_listed()
        .without_confirmation();
    let begin = Instant::now();
    let progress = job.run(&mut journal).await.expect("a run");
    let elapsed = begin.elapsed();
    assert_eq!(progress.terminated, PLANS);
    drop(journal);
    std::fs::remove_file(path).expect("a file");
    elapsed
}

fn bulk(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("bulk");
    group.sample_size(10).throughput(Throughput::Elements(PLANS as u64));
    group.bench_function("a bare loop of terminate", |b| {
        b.to_async(&runtime).iter_custom(|rounds| async move {
            let mut sum = Duration::ZERO;
            for _ in 0..rounds {
                sum += bare_loop().await;
            }
            sum
        });
    });
    group.bench_function("a job with a journal", |b| {
        b.to_async(&runtime).iter_custom(|rounds| async move {
            let mut sum = Duration::ZERO;
            for _ in 0..rounds {
                sum += job().await;
            }
            sum
        });
    });
    group.finish();
}

criterion_group!(benches, bulk);
criterion_main!(benches);
