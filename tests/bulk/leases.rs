//! What leases say, and what is called then.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wxpay_auth::BrandId;
use wxpay_marketing::{
    BulkError, BulkJournal, BulkPlan, BulkProgress, BulkTermination, Claim, Lease, LeaseError,
    ListPlans, PlanLeases, PlanOutcome,
};
use wxpay_testing::{ErrorBody, Gateway, Misbehaviour, WechatPay};
use wxpay_tests::TestClient;
use wxpay_tests::bulk_jobs::{BRAND, Folder, id, list, owner, plans, seen, service};
use wxpay_transport::async_trait;

/// Leases that do as told, and grant what is not told.
#[derive(Debug, Default)]
struct Told {
    claims: Mutex<VecDeque<Result<Claim, LeaseError>>>,
    renewals: Mutex<VecDeque<Result<Option<Lease>, LeaseError>>>,
    given_back: Mutex<Vec<String>>,
}

fn good() -> Lease {
    Lease::new(Instant::now(), Duration::from_secs(600))
}

/// A lease of which so many seconds of a minute have passed.
fn old(seconds: u64) -> Lease {
    let asked = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
    Lease::new(asked, Duration::from_secs(60))
}

#[async_trait]
impl PlanLeases for Told {
    async fn claim(&self, _: &BulkPlan) -> Result<Claim, LeaseError> {
        self.claims.lock().unwrap().pop_front().unwrap_or_else(|| Ok(Claim::Mine(good())))
    }

    async fn renew(&self, _: &BulkPlan, _: &Lease) -> Result<Option<Lease>, LeaseError> {
        self.renewals.lock().unwrap().pop_front().unwrap_or_else(|| Ok(Some(good())))
    }

    async fn release(&self, _: &BulkPlan, _: &Lease) -> Result<(), LeaseError> {
        self.given_back.lock().unwrap().push("released".to_owned());
        Ok(())
    }

    async fn done(&self, _: &BulkPlan, _: &Lease, how: &PlanOutcome) -> Result<(), LeaseError> {
        self.given_back.lock().unwrap().push(how.name().to_owned());
        Err(LeaseError::new("a store that is away loses nothing"))
    }
}

struct World {
    gateway: Gateway,
    folder: Folder,
    told: Arc<Told>,
}

impl World {
    async fn new() -> Self {
        let builder = plans(1).fold(WechatPay::builder(), |builder, plan| builder.plan(plan));
        let gateway = Gateway::builder().wechat_pay(builder.build()).start().await.unwrap();
        Self { gateway, folder: Folder::new(), told: Arc::default() }
    }

    async fn run(&self) -> Result<BulkProgress, BulkError> {
        self.run_job(&self.job()).await
    }

    async fn run_job(&self, job: &BulkTermination<TestClient>) -> Result<BulkProgress, BulkError> {
        let url = self.gateway.base_url();
        let path = self.folder.journal("plans");
        let mut journal = BulkJournal::open(path, &owner(&self.gateway, &url)).unwrap();
        if !journal.is_listed() {
            journal.list(list(1)).await.unwrap();
        }
        job.run(&mut journal).await
    }

    fn job(&self) -> BulkTermination<TestClient> {
        BulkTermination::new(service(&self.gateway, &self.gateway.base_url()))
            .lease_outage(Duration::from_millis(50))
            .leases(Arc::clone(&self.told))
    }

    fn order(&self) -> String {
        seen(&self.gateway.journal()).remove(&id(0)).unwrap_or_default().order
    }

    fn given_back(&self) -> Vec<String> {
        self.told.given_back.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn what_is_not_certainly_ours_is_not_called() {
    for (claim, renewal) in [
        (old(21), Ok(None)),
        (old(21), Err(LeaseError::new("away"))),
        (old(21), Ok(Some(old(54)))),
        (old(54), Ok(None)),
    ] {
        let world = World::new().await;
        world.told.claims.lock().unwrap().push_back(Ok(Claim::Mine(claim)));
        world.told.renewals.lock().unwrap().push_back(renewal);
        let progress = world.run().await.unwrap();
        // The next pass has a good lease.
        assert_eq!((progress.terminated, progress.left()), (1, 0));
        assert_eq!(world.order(), "rrxr", "it was read, lost, and read again");
    }
}

#[tokio::test]
async fn a_plan_that_another_has_is_waited_for() {
    let world = World::new().await;
    world.told.claims.lock().unwrap().extend([Ok(Claim::Taken), Ok(Claim::Taken)]);
    assert_eq!(world.run().await.unwrap().terminated, 1);
    assert_eq!(world.order(), "rxr");
    assert_eq!(world.given_back(), ["terminated"]);
}

#[tokio::test]
async fn a_plan_that_is_done_elsewhere_is_left_alone() {
    let world = World::new().await;
    world.told.claims.lock().unwrap().push_back(Ok(Claim::Done("terminated".to_owned())));
    let progress = world.run().await.unwrap();
    assert_eq!((progress.elsewhere, progress.is_complete()), (1, true));
    assert_eq!(world.order(), "");
}

#[tokio::test]
async fn a_plan_that_is_done_elsewhere_and_may_have_been_called_here_is_read() {
    let world = World::new().await;
    let body = ErrorBody::json("SYSTEM_ERROR", "told to");
    world.gateway.misbehave_once(Misbehaviour::Slow(Duration::ZERO));
    let status = Misbehaviour::Status { status: 500, body, signed: true, executed: true };
    world.gateway.misbehave_once(status.clone());
    // The state cannot be read either.
    world.gateway.misbehave(status);
    let short = world.job().confirm_within(Duration::from_millis(50));
    assert_eq!(world.run_job(&short).await.unwrap().unconfirmed, 1);
    assert_eq!(world.given_back(), ["released"], "another machine may settle it");
    world.gateway.behave();
    let before = world.order();
    world.told.claims.lock().unwrap().push_back(Ok(Claim::Done("already_ended".to_owned())));
    let progress = world.run().await.unwrap();
    assert_eq!((progress.terminated, progress.elsewhere), (1, 0));
    assert_eq!(world.order(), before + "r");
}

#[tokio::test]
async fn a_store_that_stays_away_stops_the_run() {
    let world = World::new().await;
    let away = || Err(LeaseError::new("away"));
    world.told.claims.lock().unwrap().extend((0..100).map(|_| away()));
    let ended = world.run().await;
    assert!(matches!(ended, Err(BulkError::Leases(_))), "{ended:?}");
    assert_eq!(world.order(), "");
    world.told.claims.lock().unwrap().clear();
    assert_eq!(world.run().await.unwrap().terminated, 1);
}

#[tokio::test]
async fn with_shared_leases_every_plan_is_read_before_it_is_called() {
    let world = World::new().await;
    let url = world.gateway.base_url();
    let path = world.folder.journal("plans");
    let mut journal = BulkJournal::open(path, &owner(&world.gateway, &url)).unwrap();
    let all = ListPlans::new(BrandId::new(BRAND).unwrap());
    journal.list_brand(&service(&world.gateway, &url), all, |_| true).await.unwrap();
    let job = world.job().without_lookup_of_listed().without_confirmation();
    assert_eq!(job.run(&mut journal).await.unwrap().terminated, 1);
    assert_eq!(world.order(), "rx");
}
