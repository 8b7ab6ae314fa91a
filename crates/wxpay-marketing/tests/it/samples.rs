//! Each sample is read, and written again without loss.

use serde_json::Value;
use wxpay_auth::Timestamp;
use wxpay_marketing::{
    AuthorizationType, CreatePlan, Plan, PlanPage, PlanState, ProductAuthorities, UpdatePlan,
    UsageMode,
};

use crate::common::{at, brand};

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../../testdata/delivery_plan/", $name))
    };
}

const NOW: Timestamp = Timestamp::from_unix_secs(1_790_000_000);

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Reads the plan of a response, and checks that nothing is lost when it is written again.
fn plan(response: &str) -> Plan {
    let sample = json(response)["plan"].clone();
    let plan: Plan = serde_json::from_value(sample.clone()).unwrap();
    let mut written = serde_json::to_value(&plan).unwrap();
    // The newer of two spellings is written.
    assert_eq!(PlanState::from(sample["plan_state"].as_str().unwrap()), plan.plan_state);
    written["plan_state"] = sample["plan_state"].clone();
    assert_eq!(written, sample);
    assert_eq!(plan.extra.len(), 0, "{:?}", plan.extra);
    plan
}

#[test]
fn requests_are_the_samples() {
    let coupon = "700000000000000000000000000001";
    let create = |reuse| CreatePlan::new("req-0001-70001", brand("70001"), coupon, reuse);
    let stock_id = "700000000000000000000000000002";
    let own = create(false)
        .stock_id(stock_id)
        .plan_name("样例计划")
        .total_count(12_000)
        .user_limit(2)
        .daily_limit(500)
        .delivery_start_time(at("2027-01-01T00:00:00+08:00"))
        .delivery_end_time(at("2027-01-31T00:00:00+08:00"))
        .recommend_word("样例标签");
    let bundle =
        create(true).usage_mode(UsageMode::ProgressiveBundle).stock_bundle_id("700000000000000003");
    for (request, sample) in [
        (own, sample!("create_request.json")),
        (bundle, sample!("create_request_bundle.json")),
        (create(true).stock_id(stock_id), sample!("create_request_shortest.json")),
    ] {
        request.check(NOW).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), sample.trim_end());
    }
    let update = UpdatePlan::new("req-0002-70001")
        .plan_name("样例计划二")
        .delivery_end_time(at("2027-02-28T00:00:00+08:00"))
        .total_count(13_000)
        .user_limit(3)
        .daily_limit(600)
        .recommend_word("样例标签");
    update.check().unwrap();
    assert_eq!(serde_json::to_string(&update).unwrap(), sample!("update_request.json").trim_end());
}

#[test]
fn a_plan_has_15_fields_and_may_have_both_stock_ids() {
    let plan = plan(sample!("create_response.json"));
    assert_eq!(plan.plan_id.as_str(), "50001");
    assert_eq!(plan.plan_name, "样例计划");
    assert_eq!(plan.plan_state, PlanState::Created);
    assert_eq!(plan.delivery_start_time, at("2027-01-01T00:00:00+08:00"));
    assert_eq!(plan.delivery_end_time, at("2027-01-31T00:00:00+08:00"));
    assert_eq!(plan.product_coupon_id, "7000000001");
    assert_eq!(plan.usage_mode, Some(UsageMode::Single));
    assert_eq!(plan.stock_id.as_deref(), Some("700000001"));
    assert_eq!(plan.stock_bundle_id.as_deref(), Some("700000002"));
    assert_eq!(plan.recommend_word.as_deref(), Some("样例标签"));
    assert_eq!(plan.brand_id, brand("70001"));
    assert_eq!(
        (plan.total_count, plan.user_limit, plan.daily_limit),
        (Some(12_000), Some(2), Some(500))
    );
    assert_eq!(plan.reuse_coupon_config, Some(false));
}

#[test]
fn what_the_samples_contradict_each_other_on_is_read() {
    let older = plan(sample!("create_response_2025.json"));
    assert_eq!((older.plan_state, older.usage_mode), (PlanState::Created, None));
    let without = plan(sample!("update_response_without_reuse.json"));
    assert_eq!(without.reuse_coupon_config, None);
    let odd = plan(sample!("plan_without_seconds.json"));
    assert_eq!(odd.delivery_start_time, at("2027-01-01T00:00:00+08:00"));
    assert_eq!(odd.delivery_end_time.nanosecond(), 120_000_000);
    assert_eq!((odd.total_count, odd.user_limit, odd.daily_limit), (None, None, None));
}

#[test]
fn lists_are_read() {
    let sample = sample!("list_response.json");
    let page: PlanPage = serde_json::from_str(sample).unwrap();
    assert_eq!((page.total_count, page.plan_list.len()), (1234, 1), "the number of plans");
    assert_eq!(page.plan_list[0], plan(sample!("create_response.json")));
    assert_eq!(serde_json::to_value(&page).unwrap(), json(sample));

    let sample = sample!("list_response_empty.json");
    let page: PlanPage = serde_json::from_str(sample).unwrap();
    assert_eq!((page.total_count, page.plan_list.len()), (0, 0));
    assert_eq!(serde_json::to_value(&page).unwrap(), json(sample));
}

#[test]
fn authorities_are_read() {
    let sample = sample!("product_authorities.json");
    let read: ProductAuthorities = serde_json::from_str(sample).unwrap();
    assert_eq!(read.authorization_type, AuthorizationType::Hosting);
    assert_eq!(serde_json::to_value(&read).unwrap(), json(sample));
}
