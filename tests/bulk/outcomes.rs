//! What becomes of each plan.

use std::time::Duration;

use wxpay_auth::BrandId;
use wxpay_marketing::{
    BulkError, BulkJournal, BulkPlan, BulkProgress, BulkTermination, DeliveryPlans, ListPlans,
    PlanId, PlanState,
};
use wxpay_testing::{ErrorBody, Gateway, Misbehaviour, Plan, WechatPay};
use wxpay_tests::bulk_jobs::{
    BRAND, Folder, id, list, outcomes, owner, plans, seen, service, target,
};
use wxpay_tests::{TestClient, own_process};
use wxpay_transport::{Error, Request, Response, Target, Transport, async_trait};

/// A gateway with plans, and a journal.
struct World {
    gateway: Gateway,
    folder: Folder,
}

impl World {
    async fn new(number: usize) -> Self {
        let builder = plans(number).fold(WechatPay::builder(), |builder, plan| builder.plan(plan));
        let gateway = Gateway::builder().wechat_pay(builder.build()).start().await.unwrap();
        Self { gateway, folder: Folder::new() }
    }

    fn journal(&self) -> BulkJournal {
        let owner = owner(&self.gateway, &self.gateway.base_url());
        BulkJournal::open(self.folder.journal("plans"), &owner).unwrap()
    }

    fn job(&self) -> BulkTermination<TestClient> {
        BulkTermination::new(service(&self.gateway, &self.gateway.base_url())).concurrency(1)
    }

    async fn run(&self, list: impl IntoIterator<Item = BulkPlan>) -> BulkProgress {
        let mut journal = self.journal();
        journal.list(list).await.unwrap();
        self.job().run(&mut journal).await.unwrap()
    }

    /// Runs a job for one plan, whose call fails without being carried out, and whose state does not follow.
    async fn run_in_vain(&self) -> BulkProgress {
        self.call_meets(status(500, "SYSTEM_ERROR"));
        let mut journal = self.journal();
        journal.list(list(1)).await.unwrap();
        self.job().confirm_within(Duration::from_millis(300)).run(&mut journal).await.unwrap()
    }

    /// Returns the outcome of each plan.
    fn outcomes(&self) -> Vec<&'static str> {
        outcomes(&self.folder.journal("plans")).into_values().collect()
    }

    fn report(&self) -> String {
        let report = wxpay_marketing::BulkReport::open(self.folder.journal("plans")).unwrap();
        let mut text = Vec::new();
        report.write_json_lines(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// Lets the first request, which reads the plan, pass, and the second one, which ends it, meet this.
    fn call_meets(&self, misbehaviour: Misbehaviour) {
        self.gateway.misbehave_once(Misbehaviour::Slow(Duration::ZERO));
        self.gateway.misbehave_once(misbehaviour);
    }

    fn order(&self, n: usize) -> String {
        seen(&self.gateway.journal()).remove(&id(n)).unwrap_or_default().order
    }
}

fn status(status: u16, code: &str) -> Misbehaviour {
    let body = ErrorBody::json(code, "told to");
    Misbehaviour::Status { status, body, signed: true, executed: false }
}

#[tokio::test]
async fn each_plan_is_compared_before_it_is_called() {
    let world = World::new(5).await;
    world.gateway.add_plan(Plan::new("foreign", "1005"));
    assert!(world.gateway.move_plan(&id(3), wxpay_testing::PlanState::Expired));
    let brand =
        |plan_id: &str| BulkPlan::new(BrandId::new(BRAND).unwrap(), PlanId::new(plan_id).unwrap());
    let progress = world
        .run([
            target(&id(0)).plan_name("满100减10").product_coupon_id("200000001"),
            target(&id(1)).plan_name("满100减20"),
            target(&id(2)).plan_state(PlanState::Paused),
            target(&id(3)),
            target(&id(4)).plan_state(PlanState::Paused).plan_state(PlanState::Delivering),
            brand("foreign"),
        ])
        .await;
    assert!(progress.is_complete());
    assert_eq!(
        world.outcomes(),
        ["terminated", "mismatch", "mismatch", "already_ended", "terminated", "mismatch"]
    );
    let report = world.report();
    for text in ["满100减20", "PAUSED", "EXPIRED", "has no plan foreign", "\"is_confirmed\":true"]
    {
        assert!(report.contains(text), "{text}: {report}");
    }
    assert_eq!((world.order(0), world.order(1)), ("rxr".to_owned(), "r".to_owned()));
    assert_eq!(world.gateway.executions(), 2);
}

#[tokio::test]
async fn an_unknown_outcome_is_settled_by_reading() {
    let world = World::new(1).await;
    world.call_meets(Misbehaviour::UnsignedSuccess);
    let progress = world.run(list(1)).await;
    assert_eq!(progress.terminated, 1);
    assert_eq!(world.order(0), "rxr");
    assert!(!world.report().contains("request_id"), "{}", world.report());
}

#[tokio::test]
async fn what_reading_does_not_settle_is_read_again_by_the_next_run() {
    let world = World::new(1).await;
    let progress = world.run_in_vain().await;
    assert_eq!((progress.unconfirmed, progress.left()), (1, 1));
    assert!(world.report().contains("SYSTEM_ERROR"), "{}", world.report());
    let first = world.order(0);
    assert_eq!(first.matches('c').count(), 1, "a run calls once: {first}");
    let progress = world.job().run(&mut world.journal()).await.unwrap();
    assert_eq!((progress.terminated, progress.left()), (1, 0));
    assert_eq!(world.order(0), format!("{first}rxr"));
}

#[tokio::test]
async fn what_an_earlier_run_may_have_called_is_not_called_if_it_has_ended() {
    let world = World::new(1).await;
    world.run_in_vain().await;
    let before = world.order(0);
    // The call is carried out at last.
    assert!(world.gateway.move_plan(&id(0), wxpay_testing::PlanState::Terminated));
    let progress = world.job().run(&mut world.journal()).await.unwrap();
    assert_eq!((progress.terminated, progress.left()), (1, 0));
    assert_eq!(world.order(0), before + "r");
}

#[tokio::test]
async fn a_plan_that_another_is_ending_is_not_called() {
    let world = World::new(0).await;
    let ending = Plan::new(id(0), BRAND).with_field("plan_state", "PLAN_TERMINATING");
    world.gateway.add_plan(ending);
    let mut journal = world.journal();
    journal.list(list(1)).await.unwrap();
    let short = world.job().confirm_within(Duration::from_millis(300));
    let progress = short.run(&mut journal).await.unwrap();
    assert_eq!((progress.unconfirmed, progress.left()), (1, 1));
    assert!(world.report().contains("\"is_sent\":false"), "{}", world.report());
    let ended = Plan::new(id(0), BRAND).with_state(wxpay_testing::PlanState::Terminated);
    world.gateway.add_plan(ended);
    let progress = world.job().run(&mut journal).await.unwrap();
    assert_eq!((progress.already_ended, progress.left()), (1, 0), "not by this job");
    assert!(!world.order(0).contains(['c', 'x']), "{}", world.order(0));
}

#[tokio::test]
async fn a_plan_whose_end_follows_the_call_is_read_until_then() {
    let world = World::new(1).await;
    let gateway = world.gateway.wechat_pay().clone();
    let reads = std::sync::atomic::AtomicUsize::new(0);
    let job = world.job().observer(move |event, _| {
        // After the call it shows that it is being ended, for a while.
        if matches!(event, wxpay_marketing::BulkEvent::Calling { .. })
            && reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0
        {
            let shown = Plan::new(id(0), BRAND).with_field("plan_state", "PLAN_TERMINATING");
            gateway.add_plan(shown);
            let gateway = gateway.clone();
            std::thread::spawn(move || {
                while seen(&gateway.journal()).get(&id(0)).is_none_or(|s| s.order != "rxrr") {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let ended = Plan::new(id(0), BRAND);
                gateway.add_plan(ended.with_state(wxpay_testing::PlanState::Terminated));
            });
        }
    });
    let mut journal = world.journal();
    journal.list(list(1)).await.unwrap();
    let progress = job.run(&mut journal).await.unwrap();
    assert_eq!((progress.terminated, progress.is_complete()), (1, true));
    assert!(world.report().contains("request_id"), "{}", world.report());
}

#[tokio::test]
async fn a_refusal_is_reported_and_stops_nothing() {
    let world = World::new(2).await;
    world.call_meets(status(403, "NO_AUTH"));
    let progress = world.run(list(2)).await;
    assert!(progress.is_complete());
    assert_eq!(world.outcomes(), ["refused", "terminated"]);
    assert!(world.report().contains("\"code\":\"NO_AUTH\""), "{}", world.report());
    assert_eq!(world.order(0), "rcr");
}

#[tokio::test]
async fn a_refusal_because_it_had_ended_meanwhile_is_none() {
    let world = World::new(1).await;
    world.gateway.misbehave_once(Misbehaviour::Slow(Duration::ZERO));
    let (gateway, job) = (world.gateway.wechat_pay().clone(), world.job());
    // The brand ends it in its console, after it was read.
    let job = job.observer(move |event, _| {
        if matches!(event, wxpay_marketing::BulkEvent::Calling { .. }) {
            gateway.move_plan(&id(0), wxpay_testing::PlanState::Terminated);
        }
    });
    let mut journal = world.journal();
    journal.list(list(1)).await.unwrap();
    let progress = job.run(&mut journal).await.unwrap();
    assert_eq!(progress.already_ended, 1);
    assert_eq!(world.order(0), "rcr");
}

#[tokio::test]
async fn throttling_is_waited_for() {
    let world = World::new(1).await;
    world.gateway.misbehave_once(status(429, "RATELIMIT_EXCEEDED"));
    world.call_meets(status(429, "FREQUENCY_LIMITED"));
    let progress = world.run(list(1)).await;
    assert_eq!(progress.terminated, 1);
    assert_eq!(world.order(0), "rrcxr", "what was not accepted is called again");
}

#[tokio::test]
async fn a_key_that_is_refused_stops_the_run_and_settles_nothing() {
    let world = World::new(9).await;
    let mut journal = world.journal();
    journal.list(list(9)).await.unwrap();
    for _ in 0..2 {
        world.gateway.misbehave(status(401, "SIGN_ERROR"));
        let ended = world.job().give_up_after(4).run(&mut journal).await;
        let Err(BulkError::Unreachable { plans: 4, source, .. }) = &ended else {
            panic!("{ended:?}");
        };
        assert_eq!(source.api().and_then(|api| api.code()), Some("SIGN_ERROR"));
        assert_eq!(journal.progress().open, 9);
        // It is noticed at the call, too.
        world.gateway.behave();
        world.call_meets(status(401, "SIGN_ERROR"));
        let ended = world.job().give_up_after(1).run(&mut journal).await;
        assert!(matches!(ended, Err(BulkError::Unreachable { plans: 1, .. })), "{ended:?}");
        assert_eq!((journal.progress().open, journal.progress().in_doubt), (9, 0));
        drop(journal);
        journal = world.journal();
        assert_eq!((journal.progress().open, journal.progress().in_doubt), (9, 0), "on disk, too");
    }
    world.gateway.behave();
    let progress = world.job().run(&mut journal).await.unwrap();
    assert_eq!(progress.terminated, 9);
}

#[tokio::test]
async fn without_a_network_nothing_is_lost() {
    let world = World::new(3).await;
    let owner = owner(&world.gateway, &world.gateway.base_url());
    let mut journal = BulkJournal::open(world.folder.journal("plans"), &owner).unwrap();
    journal.list(list(3)).await.unwrap();
    let nowhere = format!("http://127.0.0.1:{}", wxpay_tests::redis_server::free_port());
    let job = BulkTermination::new(service(&world.gateway, &nowhere)).concurrency(2);
    let progress = job.run(&mut journal).await.unwrap();
    assert_eq!((progress.open, progress.left()), (3, 3), "each was tried once");
    let ended = job.give_up_after(3).run(&mut journal).await;
    assert!(matches!(ended, Err(BulkError::Unreachable { .. })), "{ended:?}");
    assert_eq!(world.job().run(&mut journal).await.unwrap().terminated, 3);
}

#[tokio::test]
async fn a_filtered_list_that_shrinks_is_ended_whole() {
    let world = World::new(130).await;
    for n in 0..10 {
        assert!(world.gateway.move_plan(&id(n), wxpay_testing::PlanState::Paused));
    }
    let mut journal = world.journal();
    let service = service(&world.gateway, &world.gateway.base_url());
    let query = ListPlans::new(BrandId::new(BRAND).unwrap()).plan_state(PlanState::Delivering);
    let is_wanted = |plan: &wxpay_marketing::Plan| plan.plan_id.as_str() != id(129);
    let listed = journal.list_brand(&service, query, is_wanted).await.unwrap();
    assert_eq!(listed, 119);
    let before = world.gateway.journal().len();
    let job = world.job().concurrency(8).without_lookup_of_listed().without_confirmation();
    let progress = job.run(&mut journal).await.unwrap();
    assert_eq!((progress.terminated, progress.is_complete()), (119, true));
    assert_eq!(world.gateway.journal().len() - before, 119, "one call each");
    assert!(world.report().contains("\"is_confirmed\":false"));
}

/// Loses the filter on the way, as one SDK does.
#[derive(Debug)]
struct Unfiltered(TestClient);

#[async_trait]
impl Transport for Unfiltered {
    async fn send(&self, request: Request) -> Result<Response, Error> {
        let target = request.target().as_str().replace("plan_state=DELIVERING", "x=y");
        let target = Target::new(target).expect("a target");
        self.0.send(Request::get(request.operation().to_owned(), target)).await
    }
}

#[tokio::test]
async fn a_filter_that_is_lost_on_the_way_lists_no_other_plan() {
    let world = World::new(3).await;
    assert!(world.gateway.move_plan(&id(1), wxpay_testing::PlanState::Paused));
    let client = wxpay_tests::builder(&world.gateway, &world.gateway.base_url()).build().unwrap();
    let service = DeliveryPlans::new(Unfiltered(client));
    let query = ListPlans::new(BrandId::new(BRAND).unwrap()).plan_state(PlanState::Delivering);
    let mut journal = world.journal();
    assert_eq!(journal.list_brand(&service, query, |_| true).await.unwrap(), 2);
}

#[tokio::test]
async fn an_observer_that_panics_loses_its_event_and_nothing_else() {
    own_process!();
    let world = World::new(3).await;
    let mut journal = world.journal();
    journal.list(list(3)).await.unwrap();
    let job = world.job().observer(|_, _| panic!("told to"));
    assert_eq!(job.run(&mut journal).await.unwrap().terminated, 3);
}
