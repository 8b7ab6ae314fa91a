//! A list that several machines share, on a server that forgets, stops, or is away.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wxpay_marketing::{
    BulkError, BulkJournal, BulkTermination, Claim, PlanLeases, PlanOutcome, RedisPlanLeases,
};
use wxpay_testing::{Gateway, WechatPay};
use wxpay_tests::bulk_jobs::{
    Folder, JobProcess, list, outcomes, owner, plans, run_as_told, seen, service, target,
};
use wxpay_tests::redis_server::RedisServer;
use wxpay_tests::this_test;

/// Runs in the processes that the tests below start; there is nothing to do in this one.
#[tokio::test]
async fn the_job() {
    let is_told = std::env::var_os("WXPAY_TEST_BULK_URL").is_some();
    assert_eq!(run_as_told().await, is_told);
}

/// A gateway with plans, a Redis, and two machines with the same list.
struct World {
    gateway: Gateway,
    requests: Arc<AtomicUsize>,
    server: RedisServer,
    folder: Folder,
    number: usize,
    lease_time: Duration,
}

impl World {
    async fn new(number: usize, lease_time: Duration) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let builder = WechatPay::builder().on_request(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let builder = plans(number).fold(builder, |builder, plan| builder.plan(plan));
        let gateway = Gateway::builder().wechat_pay(builder.build()).start().await.unwrap();
        let (server, folder) = (RedisServer::start(), Folder::new());
        Self { gateway, requests, server, folder, number, lease_time }
    }

    fn start(&self, machine: &str) -> JobProcess {
        let this = this_test!();
        let module = this.split("::").next().expect("a module");
        let (url, journal) = (self.gateway.base_url(), self.folder.journal(machine));
        let (redis, test) = (self.server.url(), format!("{module}::the_job"));
        let redis = Some((&*redis, self.lease_time));
        JobProcess::start(&test, &url, &journal, self.number, redis)
    }

    /// Waits for so many requests, or until the machines have ended.
    async fn reach(&self, requests: usize, machines: &mut [JobProcess]) {
        while self.requests.load(Ordering::Relaxed) < requests
            && machines.iter_mut().any(|machine| !machine.has_ended())
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Checks what WeChat Pay saw, and what the journals say; returns the largest number of calls of a plan.
    fn check(&self, machines: &[&str]) -> usize {
        let seen = seen(&self.gateway.journal());
        assert_eq!(seen.len(), self.number, "none is forgotten");
        for (plan_id, seen) in &seen {
            assert_eq!(seen.order.matches('x').count(), 1, "{plan_id} {}", seen.order);
            assert!(seen.order.starts_with('r'), "{plan_id} {}", seen.order);
        }
        let said: Vec<_> =
            machines.iter().map(|name| outcomes(&self.folder.journal(name))).collect();
        for plan_id in seen.keys() {
            let of_plan: Vec<_> = said.iter().map(|said| said[plan_id]).collect();
            let known = ["terminated", "already_ended", "elsewhere"];
            assert!(of_plan.iter().all(|o| known.contains(o)), "{plan_id}: {of_plan:?}");
            let has_ended = |o: &&str| ["terminated", "already_ended"].contains(o);
            assert!(of_plan.iter().any(has_ended), "{plan_id}: {of_plan:?}");
        }
        seen.values().map(|seen| seen.calls()).max().unwrap_or(0)
    }
}

/// The time of a lease that a test waits for.
const SHORT: Duration = Duration::from_secs(2);

async fn end(machines: &mut [JobProcess]) {
    while machines.iter_mut().any(|machine| !machine.has_ended()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: run scripts/test"]
async fn two_processes_share_a_list_and_call_each_plan_once() {
    let world = World::new(120, Duration::from_secs(600)).await;
    let mut machines = [world.start("a"), world.start("b")];
    end(&mut machines).await;
    assert_eq!(world.check(&["a", "b"]), 1);
    let terminated = |name| {
        let said = outcomes(&world.folder.journal(name));
        said.into_values().filter(|outcome| *outcome == "terminated").count()
    };
    let (a, b) = (terminated("a"), terminated("b"));
    assert_eq!(a + b, 120, "each by one of them");
    assert!(a > 0 && b > 0, "{a} {b}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_machine_that_dies_leaves_its_plans_to_the_other() {
    let world = World::new(60, SHORT).await;
    let mut first = [world.start("a")];
    world.reach(60, &mut first).await;
    let [first] = &mut first;
    first.kill();
    end(&mut [world.start("b")]).await;
    assert_eq!(world.gateway.executions(), 60, "the other has ended them all");
    // It comes back, and finds out what became of its own calls.
    end(&mut [world.start("a")]).await;
    let calls = world.check(&["a", "b"]);
    assert!(calls <= 2, "{calls}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_store_that_forgets_or_stops_ends_no_plan_twice_and_forgets_none() {
    let mut world = World::new(240, SHORT).await;
    let mut machines = [world.start("a"), world.start("b")];
    world.reach(100, &mut machines).await;
    world.server.run(&["FLUSHALL"]);
    world.reach(200, &mut machines).await;
    world.server.freeze();
    // Longer than a lease.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    world.server.thaw();
    world.reach(350, &mut machines).await;
    world.server.kill();
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.server.restart();
    world.reach(500, &mut machines).await;
    machines[0].kill();
    machines[0] = world.start("a");
    end(&mut machines).await;
    let calls = world.check(&["a", "b"]);
    assert!(calls <= 2, "{calls}");
}

/// Runs a job in this process, with a store that does not grant anything.
async fn run_without_a_store(world: &World, journal: &Path) -> Result<usize, BulkError> {
    let url = world.gateway.base_url();
    let mut journal = BulkJournal::open(journal, &owner(&world.gateway, &url)).unwrap();
    if !journal.is_listed() {
        journal.list(list(world.number)).await.unwrap();
    }
    let leases = RedisPlanLeases::new(&world.server.url(), "test").unwrap();
    // A claim that the server carries out when it wakes up is held for as long.
    let leases = leases.lease_time(world.lease_time);
    let job = BulkTermination::new(service(&world.gateway, &url))
        .leases(leases)
        .lease_outage(Duration::from_millis(300));
    job.run(&mut journal).await.map(|progress| progress.terminated)
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn without_the_store_nothing_is_called() {
    let mut world = World::new(5, SHORT).await;
    let path = world.folder.journal("a");
    let refusals: [&[&[&str]]; 3] = [
        &[
            &["CONFIG", "SET", "maxmemory-policy", "noeviction"],
            &["CONFIG", "SET", "maxmemory", "1"],
        ],
        &[&["CONFIG", "SET", "maxmemory", "0"], &["REPLICAOF", "127.0.0.1", "1"]],
        &[&["REPLICAOF", "NO", "ONE"], &["CONFIG", "SET", "requirepass", "x"]],
    ];
    for commands in refusals {
        for command in commands {
            assert_eq!(world.server.run(command), "OK", "{command:?}");
        }
        let ended = run_without_a_store(&world, &path).await;
        assert!(matches!(ended, Err(BulkError::Leases(_))), "{commands:?}: {ended:?}");
    }
    world.server.kill();
    let ended = run_without_a_store(&world, &path).await;
    assert!(matches!(ended, Err(BulkError::Leases(_))), "{ended:?}");
    assert_eq!(world.requests.load(Ordering::Relaxed), 0);
    world.server.restart();
    world.server.freeze();
    let ended = run_without_a_store(&world, &path).await;
    assert!(matches!(ended, Err(BulkError::Leases(_))), "{ended:?}");
    assert_eq!(world.requests.load(Ordering::Relaxed), 0);
    world.server.thaw();
    assert_eq!(run_without_a_store(&world, &path).await.unwrap(), 5);
}

#[tokio::test]
#[ignore = "needs redis-server: run scripts/test"]
async fn a_lease_is_its_holders_only() {
    let server = RedisServer::start();
    let leases = || {
        let leases = RedisPlanLeases::new(&server.url(), "a{b}").unwrap();
        leases.response_timeout(Duration::from_secs(10))
    };
    let (a, b, plan) = (leases(), leases(), target("12000"));
    let key = "wxpay:bulk:{a_b_}:1004:12000";
    let Claim::Mine(lease) = a.claim(&plan).await.unwrap() else { panic!("it is free") };
    assert!(lease.is_valid());
    assert_eq!(b.claim(&plan).await.unwrap(), Claim::Taken);
    // As after a response that was late.
    server.run(&["PEXPIRE", key, "5000"]);
    assert!(matches!(a.claim(&plan).await.unwrap(), Claim::Mine(_)));
    let left: u64 = server.run(&["PTTL", key]).parse().unwrap();
    assert!(left > 5000, "it lasts for as long as the holder believes: {left}");
    assert!(a.renew(&plan, &lease).await.unwrap().is_some());

    // It is lost, and another machine has it.
    server.run(&["FLUSHALL"]);
    assert!(a.renew(&plan, &lease).await.unwrap().is_none());
    assert!(matches!(b.claim(&plan).await.unwrap(), Claim::Mine(_)));
    let outcome: PlanOutcome =
        serde_json::from_str(r#"{"outcome":"terminated","is_confirmed":true}"#).unwrap();
    a.release(&plan, &lease).await.unwrap();
    a.done(&plan, &lease, &outcome).await.unwrap();
    assert!(b.renew(&plan, &lease).await.unwrap().is_some(), "a does not touch it");
    b.release(&plan, &lease).await.unwrap();
    let Claim::Mine(_) = a.claim(&plan).await.unwrap() else { panic!("it is free again") };
    a.done(&plan, &lease, &outcome).await.unwrap();
    assert_eq!(b.claim(&plan).await.unwrap(), Claim::Done("terminated".to_owned()));
    // What is settled is said even if the lease was lost, unless another machine has it.
    server.run(&["FLUSHALL"]);
    b.done(&plan, &lease, &outcome).await.unwrap();
    assert_eq!(a.claim(&plan).await.unwrap(), Claim::Done("terminated".to_owned()));
    assert!(!format!("{a:?}").contains("held:"), "{a:?}");
}
