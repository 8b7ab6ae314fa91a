//! What is sent, and what comes back.

use serde_json::{Value, json};
use wxpay_auth::Timestamp;
use wxpay_marketing::{
    AuditState, CreatePlan, DeliveryPlans, Error, ListPlans, PlanState, ProductAuthority,
    UpdatePlan, UsageMode,
};
use wxpay_testing::{Entry, ErrorBody, Gateway, Misbehaviour, Plan, WireServer};
use wxpay_transport::{Outcome, Request, UnverifiedCause};

use crate::common::{Changing, TestClient, at, brand, client, plan_id, plans, requests};

fn new_plan(out_request_no: &str) -> CreatePlan {
    CreatePlan::new(out_request_no, brand("1004"), "7001", false)
        .stock_id("7002")
        .plan_name("样例计划")
        .total_count(12_000)
        .user_limit(2)
        .delivery_time(at("2098-01-01T00:00:00+08:00"), at("2098-01-31T00:00:00+08:00"))
}

#[tokio::test]
async fn a_plan_is_created_found_updated_and_listed() {
    let gateway = Gateway::start().await;
    let plans = plans(&gateway, &gateway.base_url());
    let created = plans.create(&new_plan("req-0001")).await.unwrap();
    assert_eq!((&created.brand_id, &created.plan_state), (&brand("1004"), &PlanState::Created));
    assert_eq!((created.user_limit, created.daily_limit), (Some(2), None));
    assert_eq!((created.recommend_word.as_deref(), created.plan_name.as_str()), (None, "样例计划"));

    let found = plans.find(&brand("1004"), &created.plan_id).await.unwrap().unwrap();
    assert_eq!(found, created);

    let update = UpdatePlan::new("req-0002").total_count(13_000).recommend_word("样例标签");
    let updated = plans.update_checked(&found, &update).await.unwrap();
    assert_eq!((updated.total_count, updated.user_limit), (Some(13_000), Some(2)));
    assert_eq!(updated.recommend_word.as_deref(), Some("样例标签"));
    assert_eq!(plans.find(&brand("1004"), &created.plan_id).await.unwrap(), Some(updated));

    let created = ListPlans::new(brand("1004")).plan_state(PlanState::Created).page_size(1);
    let page = plans.list(&created.audit_state(AuditState::Initial)).await.unwrap();
    assert_eq!((page.total_count, page.plan_list.len()), (2, 1));
    let journal = gateway.journal();
    let executed: Vec<&str> =
        journal.iter().filter(|entry| entry.executed()).map(Entry::method).collect();
    assert_eq!(executed, ["POST", "PATCH"]);
}

#[tokio::test]
async fn a_bundle_and_a_reused_coupon_are_created() {
    let gateway = Gateway::start().await;
    let plans = plans(&gateway, &gateway.base_url());
    let bundle = CreatePlan::new("req-0001", brand("1004"), "7001", true)
        .usage_mode(UsageMode::ProgressiveBundle)
        .stock_bundle_id("7003");
    let created = plans.create(&bundle).await.unwrap();
    assert_eq!(created.usage_mode, Some(UsageMode::ProgressiveBundle));
    assert_eq!((created.stock_id, created.stock_bundle_id.as_deref()), (None, Some("7003")));
    assert_eq!(created.reuse_coupon_config, Some(true));
}

#[tokio::test]
async fn the_address_for_notifications_is_set() {
    let gateway = Gateway::start().await;
    let plans = plans(&gateway, &gateway.base_url());
    let url = "https://notify.example.test/plan";
    assert_eq!(plans.set_notify_url(&gateway.mchid(), url).await.unwrap(), url);
    assert_eq!(gateway.plan_notify_url().as_deref(), Some(url));
    let other = "1900000001".parse().unwrap();
    let error = plans.set_notify_url(&other, url).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Rejected);
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_is_not_sent() {
    let gateway = Gateway::start().await;
    let plans = plans(&gateway, &gateway.base_url());
    let plan = plans.find(&brand("1004"), &plan_id("12000")).await.unwrap().unwrap();
    let sent = gateway.journal().len();
    let errors = [
        plans.create(&new_plan("no")).await.map(drop),
        plans.update(&plan_id("12000"), &UpdatePlan::new("req-0001")).await.map(drop),
        plans.update_checked(&plan, &UpdatePlan::new("req-0001").total_count(1)).await.map(drop),
        plans.list(&ListPlans::new(brand("1004")).page_size(51)).await.map(drop),
        plans.set_notify_url(&gateway.mchid(), "http://a.example").await.map(drop),
    ];
    for ended in errors {
        let error = ended.unwrap_err();
        assert!(matches!(error, Error::Input(_)), "{error:?}");
        assert_eq!((error.outcome(), error.is_input()), (Outcome::NotSent, true), "{error:?}");
    }
    assert_eq!(gateway.journal().len(), sent);
}

#[tokio::test]
async fn the_start_is_compared_with_the_given_clock() {
    let gateway = Gateway::start().await;
    let plans = plans(&gateway, &gateway.base_url());
    let later = at("2098-01-01T00:00:00+08:00").timestamp();
    let plans = plans.with_clock(move || Timestamp::from_unix_secs(later.as_unix_secs()));
    let error = plans.create(&new_plan("req-0001")).await.unwrap_err();
    let Error::Input(error) = error else { panic!("{error:?}") };
    assert_eq!(error.field(), "delivery_start_time");
    assert_eq!(gateway.journal().len(), 0);
}

#[tokio::test]
async fn a_missing_authorisation_is_explained() {
    let gateway = Gateway::start().await;
    let plans = plans(&gateway, &gateway.base_url());
    gateway.withdraw_authority("1004");
    let error = plans.create(&new_plan("req-0001")).await.unwrap_err();
    assert_eq!(error.api().unwrap().code(), Some("NO_AUTH"));
    let authorities = plans.product_authorities(&brand("1004")).await.unwrap();
    assert_eq!(authorities.includes(&ProductAuthority::ShakeCoupon), Some(false));
    let authorities = plans.product_authorities(&brand("2008")).await.unwrap();
    assert_eq!(authorities.includes(&ProductAuthority::ProductCoupon), Some(true));
}

/// What is not documented is not repeated: neither of the calls that change something.
#[tokio::test]
async fn a_change_with_an_unknown_outcome_is_not_sent_again() {
    let gateway = Gateway::start().await;
    let plans = plans(&gateway, &gateway.base_url());
    gateway.misbehave(Misbehaviour::Probe);
    let update = UpdatePlan::new("req-0002").plan_name("x");
    let url = "https://notify.example.test/plan";
    for ended in [
        plans.create(&new_plan("req-0001")).await.map(drop),
        plans.update(&plan_id("12000"), &update).await.map(drop),
        plans.set_notify_url(&gateway.mchid(), url).await.map(drop),
    ] {
        let error = ended.unwrap_err();
        assert_eq!((error.outcome(), error.may_retry()), (Outcome::Unknown, false), "{error:?}");
    }
    assert_eq!((gateway.journal().len(), gateway.executions()), (3, 3));
}

#[tokio::test]
async fn a_plan_of_another_brand_is_an_error() {
    let gateway = Gateway::start().await;
    gateway.add_plan(Plan::new("7", "1004").with_field("brand_id", "1005"));
    gateway.add_plan(Plan::new("8", "1004").with_field("plan_id", "9"));
    let checking = plans(&gateway, &gateway.base_url());
    let plain = DeliveryPlans::new(Changing(client(&gateway, &gateway.base_url()), |r: Request| r));
    for (id, field) in [("7", "brand_id"), ("8", "plan_id")] {
        let error = checking.find(&brand("1004"), &plan_id(id)).await.unwrap_err();
        assert!(is_recognised_as_foreign(&error), "{error:?}");
        // A transport that does not check its response.
        let error = plain.find(&brand("1004"), &plan_id(id)).await.unwrap_err();
        let Error::ForeignResponse(error) = error else { panic!("{error:?}") };
        assert_eq!((error.field(), error.is_query()), (field, true));
    }
    let error = plain.list(&ListPlans::new(brand("1004"))).await.unwrap_err();
    assert!(matches!(error, Error::ForeignResponse(_)), "{error:?}");
}

/// The plan is among others if the filter was lost.
#[tokio::test]
async fn a_lost_filter_is_noticed() {
    let gateway = Gateway::start().await;
    let without_filter = |request: Request| {
        let target = request.target().as_str().split('?').next().unwrap().to_owned();
        Request::get("unfiltered", wxpay_transport::Target::new(target).unwrap())
    };
    let plans = Changing(client(&gateway, &gateway.base_url()), without_filter);
    let plans = DeliveryPlans::new(plans);
    let found = plans.find(&brand("1004"), &plan_id("12001")).await.unwrap().unwrap();
    assert_eq!(found.plan_id, plan_id("12001"));
    let error = plans.find(&brand("1004"), &plan_id("99999")).await.unwrap_err();
    assert!(matches!(error, Error::ForeignResponse(_)), "{error:?}");
}

fn is_recognised_as_foreign(error: &Error) -> bool {
    matches!(error, Error::Transport(wxpay_transport::Error::Unverified(error))
        if matches!(error.cause(), UnverifiedCause::Foreign))
}

/// Returns a plan as it is listed.
async fn plans_page(plans: &DeliveryPlans<TestClient>) -> Value {
    let plan = plans.find(&brand("1004"), &plan_id("12000")).await.unwrap();
    serde_json::to_value(plan).unwrap()
}

#[tokio::test]
async fn a_change_that_answers_for_another_plan_has_an_unknown_outcome() {
    let gateway = Gateway::start().await;
    let checking = plans(&gateway, &gateway.base_url());
    let plain = DeliveryPlans::new(Changing(client(&gateway, &gateway.base_url()), |r: Request| r));
    gateway.add_plan(Plan::new("7", "1004").with_field("plan_id", "8"));
    let update = |no: &str| UpdatePlan::new(no).plan_name("x");
    let error = checking.update(&plan_id("7"), &update("req-0001")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error:?}");
    assert!(is_recognised_as_foreign(&error), "{error:?}");
    let created = plans_page(&checking).await;
    let body = json!({"plan": created}).to_string().replace("\"1004\"", "\"1005\"");
    gateway.misbehave_once(Misbehaviour::UnexpectedSuccess { status: 200, body });
    let error = checking.create(&new_plan("req-0003")).await.unwrap_err();
    assert!(is_recognised_as_foreign(&error), "{error:?}");
    let error = plain.update(&plan_id("7"), &update("req-0002")).await.unwrap_err();
    assert!(matches!(error, Error::ForeignResponse(_)), "{error:?}");
    assert_eq!((error.outcome(), error.may_retry()), (Outcome::Unknown, false));
}

#[tokio::test]
async fn an_empty_list_is_asked_for_again_on_another_connection() {
    let server = WireServer::start_plain().await;
    let plans = plans(&server, &server.base_url());
    assert!(plans.find(&brand("1004"), &plan_id("12000")).await.unwrap().is_some());
    assert!(plans.find(&brand("1004"), &plan_id("12001")).await.unwrap().is_some());
    let used = || -> Vec<usize> {
        server.requests_per_connection().into_iter().filter(|requests| *requests > 0).collect()
    };
    assert_eq!(used(), [2], "both recognise their response");
    assert_eq!(plans.find(&brand("1004"), &plan_id("99999")).await.unwrap(), None);
    assert_eq!(used(), [3, 1]);
}

/// An empty list of another request was on its way.
#[tokio::test]
async fn an_empty_list_is_believed_only_from_a_new_connection() {
    let gateway = Gateway::start().await;
    let plans = plans(&gateway, &gateway.base_url());
    let body = json!({"total_count": 0}).to_string();
    gateway.misbehave_once(Misbehaviour::UnexpectedSuccess { status: 200, body });
    assert!(plans.find(&brand("1004"), &plan_id("12000")).await.unwrap().is_some());
    assert_eq!(requests(&gateway, "GET").len(), 2);
}

#[tokio::test]
async fn other_responses_than_the_documented_ones_are_errors() {
    let gateway = Gateway::start().await;
    let plans = plans(&gateway, &gateway.base_url());
    let respond = |status, body: Value| {
        let body = body.to_string();
        gateway.misbehave_times(2, Misbehaviour::UnexpectedSuccess { status, body });
    };
    let update = UpdatePlan::new("req-0001").plan_name("x");
    respond(200, json!({"plan": {"plan_id": "12000"}}));
    let error = plans.update(&plan_id("12000"), &update).await.unwrap_err();
    assert!(matches!(error, Error::Body(_)), "{error:?}");
    assert_eq!((error.outcome(), error.may_retry()), (Outcome::Unknown, false));
    assert!(error.request_id().is_some());
    gateway.behave();

    respond(201, json!({}));
    let error = plans.create(&new_plan("req-0002")).await.unwrap_err();
    assert!(matches!(error, Error::UnexpectedStatus(_)), "{error:?}");
    gateway.behave();

    // It says that there are plans, and has none.
    respond(200, json!({"total_count": 1}));
    let error = plans.find(&brand("1004"), &plan_id("12000")).await.unwrap_err();
    assert!(matches!(error, Error::IncompleteList(_)), "{error:?}");
    gateway.behave();

    respond(
        200,
        json!({"total_count": 1, "plan_list": [{"plan_id": "12000", "brand_id": "1004"}]}),
    );
    let error = plans.find(&brand("1004"), &plan_id("12000")).await.unwrap_err();
    assert!(matches!(error, Error::Body(_)), "{error:?}");
}

#[tokio::test]
async fn responses_of_2025_are_read() {
    let gateway = Gateway::start().await;
    gateway.show_plans_of_2025();
    let plans = plans(&gateway, &gateway.base_url());
    let found = plans.find(&brand("1004"), &plan_id("12001")).await.unwrap().unwrap();
    assert_eq!((found.plan_state, found.usage_mode), (PlanState::Paused, None));
    let ids = plans.ids_in_state(&brand("1004"), &PlanState::Paused).await.unwrap();
    assert_eq!(ids, [plan_id("12001")]);
}

#[tokio::test]
async fn both_stock_ids_at_once_are_read() {
    let gateway = Gateway::start().await;
    gateway.show_both_stock_ids();
    let plans = plans(&gateway, &gateway.base_url());
    let found = plans.find(&brand("1004"), &plan_id("12001")).await.unwrap().unwrap();
    assert!(found.stock_id.is_some() && found.stock_bundle_id.is_some(), "{found:?}");
}

#[tokio::test]
async fn the_field_that_wechat_pay_names_is_told() {
    let gateway = Gateway::start().await;
    let plans = plans(&gateway, &gateway.base_url());
    let update = UpdatePlan::new("req-0001").total_count(1);
    let error = plans.update(&plan_id("12000"), &update).await.unwrap_err();
    let detail = error.api().unwrap().detail().unwrap();
    assert_eq!(detail.field.as_deref(), Some("/modify_content/total_count"));
    assert!(error.to_string().contains("(/modify_content/total_count)"), "{error}");
    let status = ErrorBody::json("SYSTEM_ERROR", "系统错误");
    gateway.misbehave_once(Misbehaviour::Status {
        status: 500,
        body: status,
        signed: true,
        executed: true,
    });
    let error = plans.update(&plan_id("12000"), &update).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
}
