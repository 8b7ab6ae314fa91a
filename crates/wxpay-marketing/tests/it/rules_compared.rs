//! The client and the gateway have rules of their own, written independently of each other from the same pages: they
//! must agree, field by field.

use serde::Serialize;
use wxpay_auth::{Clock, SystemClock};
use wxpay_marketing::{CreatePlan, InputError, UpdatePlan, UsageMode};
use wxpay_testing::{Gateway, Plan};
use wxpay_transport::{Method, Request, Target, Transport};

use crate::common::{TestClient, at, brand, client, plan_id, plans};

const FAMILY: &str = "/v3/marketing/partner/delivery-plan";

/// Sends a body that the client did not check; returns the field that the gateway refuses.
async fn refused(
    client: &TestClient,
    method: Method,
    path: &str,
    body: &impl Serialize,
) -> Option<String> {
    let target = Target::new(format!("{FAMILY}/{path}")).unwrap();
    let request = Request::new(method, "unchecked", target).with_json(body).unwrap();
    let wxpay_transport::Error::Api(error) = client.send(request).await.err()? else {
        panic!("not answered")
    };
    assert_eq!((error.status().as_u16(), error.code()), (400, Some("PARAM_ERROR")));
    Some(error.detail().unwrap().field.clone().unwrap())
}

/// Returns the field of the client's error as the gateway names it.
fn pointer(checked: Result<(), InputError>) -> Option<String> {
    checked.err().map(|error| format!("/{}", error.field().replace('.', "/")))
}

fn own(no: usize) -> CreatePlan {
    CreatePlan::new(format!("req-{no:04}"), brand("1004"), "7001", false)
        .stock_id("7002")
        .plan_name("样例计划")
        .total_count(12_000)
        .user_limit(2)
        .daily_limit(500)
        .delivery_time(at("2098-01-01T00:00:00+08:00"), at("2098-01-31T00:00:00+08:00"))
}

fn bare(no: &str, coupon: &str, reuse: bool) -> CreatePlan {
    CreatePlan::new(no, brand("1004"), coupon, reuse)
}

#[tokio::test]
async fn a_new_plan_is_refused_for_the_same_field() {
    let gateway = Gateway::start().await;
    let client = client(&gateway, &gateway.base_url());
    let bundle = || UsageMode::ProgressiveBundle;
    let requests = [
        own(1),
        own(2).plan_name("x".repeat(36)).recommend_word("一二三四五六七八九"),
        own(3).total_count(10_000).usage_mode(UsageMode::Single),
        own(4).delivery_end_time(at("2098-01-06T00:00:00+08:00")),
        bare("req-0005", "7001", true).stock_id("7002"),
        bare("req-0006", "7001", true).usage_mode(bundle()).stock_bundle_id("7003"),
        bare("req-0007", "7001", false).stock_id("7002").plan_name("x").total_count(10_000),
        bare(&"9".repeat(40), &"7".repeat(40), true).stock_id("7".repeat(40)),
        // From here on, each breaks one rule.
        bare("req01", "7001", true).stock_id("7002"),
        bare("req 0001", "7001", true).stock_id("7002"),
        bare(&"9".repeat(41), "7001", true).stock_id("7002"),
        bare("req-0101", "", true).stock_id("7002"),
        bare("req-0102", &"7".repeat(41), true).stock_id("7002"),
        bare("req-0103", "7001", true),
        bare("req-0104", "7001", true).stock_id(""),
        bare("req-0105", "7001", true).stock_id("7".repeat(41)),
        bare("req-0106", "7001", true).stock_id("7002").stock_bundle_id("7003"),
        bare("req-0107", "7001", true).usage_mode(bundle()),
        bare("req-0108", "7001", true).usage_mode(bundle()).stock_bundle_id(""),
        bare("req-0109", "7001", true).usage_mode(bundle()).stock_bundle_id("7").stock_id("7"),
        bare("req-0110", "7001", false).stock_id("7002").total_count(10_000),
        bare("req-0111", "7001", false).stock_id("7002").plan_name("x"),
        own(112).plan_name("x".repeat(37)),
        own(113).plan_name(""),
        own(114).total_count(9_999),
        own(115).recommend_word("一二三四五六七八九x"),
        own(116).recommend_word(""),
        own(117).delivery_start_time(at("2020-01-01T00:00:00+08:00")),
        own(118).delivery_end_time(at("2098-01-01T00:00:00+08:00")),
        own(119).delivery_end_time(at("2097-01-01T00:00:00+08:00")),
        own(120).delivery_end_time(at("2098-01-05T23:59:59+08:00")),
    ];
    let mut outcomes = [0, 0];
    for request in requests {
        let here = pointer(request.check(SystemClock.now()));
        let there = refused(&client, Method::POST, "delivery-plans", &request).await;
        assert_eq!(here, there, "{request:?}");
        outcomes[usize::from(here.is_some())] += 1;
    }
    assert_eq!(outcomes, [8, 23]);
    assert_eq!(gateway.executions(), 8);
}

#[tokio::test]
async fn an_update_is_refused_for_the_same_field() {
    let gateway = Gateway::start().await;
    let client = client(&gateway, &gateway.base_url());
    let service = plans(&gateway, &gateway.base_url());
    gateway.add_plan(
        Plan::new("7", "1004")
            .with_field("delivery_end_time", "2098-01-31T00:00:00+08:00")
            .with_field("daily_limit", serde_json::Value::Null),
    );
    let update = |no: usize| UpdatePlan::new(format!("req-{no:04}"));
    let requests = [
        update(1).plan_name("x".repeat(36)).recommend_word("x".repeat(27)),
        update(2).delivery_end_time(at("2098-01-31T00:00:01+08:00")),
        update(3).total_count(10_001),
        update(4).user_limit(2),
        // From here on, each breaks one rule.
        UpdatePlan::new("no").user_limit(3),
        update(100),
        update(101).plan_name("x".repeat(37)),
        update(102).plan_name(""),
        update(103).recommend_word("x".repeat(28)),
        update(104).delivery_end_time(at("2098-01-31T00:00:01+08:00")),
        update(105).delivery_end_time(at("2098-01-30T00:00:00+08:00")),
        update(106).total_count(10_001),
        update(107).total_count(-1),
        update(108).user_limit(2),
        update(109).user_limit(0),
    ];
    let mut outcomes = [0, 0];
    for request in requests {
        let plan = service.find(&brand("1004"), &plan_id("7")).await.unwrap().unwrap();
        let here = pointer(request.check_against(&plan));
        let there = refused(&client, Method::PATCH, "delivery-plans/7", &request).await;
        assert_eq!(here, there, "{request:?}");
        outcomes[usize::from(here.is_some())] += 1;
    }
    assert_eq!(outcomes, [4, 11]);

    // What the answer lacks is left to WeChat Pay.
    let plan = service.find(&brand("1004"), &plan_id("7")).await.unwrap().unwrap();
    let limit = update(110).daily_limit(1_001);
    assert_eq!(limit.check_against(&plan), Ok(()));
    let there = refused(&client, Method::PATCH, "delivery-plans/7", &limit).await;
    assert_eq!(there.as_deref(), Some("/modify_content/daily_limit"));
}

#[tokio::test]
async fn an_address_is_refused_by_both() {
    let gateway = Gateway::start().await;
    let client = client(&gateway, &gateway.base_url());
    let service = plans(&gateway, &gateway.base_url());
    let long = format!("https://a.example/{}", "x".repeat(256));
    let path = format!("{}/notify-url", gateway.mchid());
    for (url, is_allowed) in [
        ("https://notify.example.com/plans", true),
        ("http://notify.example.com/plans", false),
        ("notify.example.com/plans", false),
        ("https:///plans", false),
        ("https://notify.example.com/?a=1", false),
        ("https://notify.example.com/#a", false),
        ("", false),
        (long.as_str(), false),
    ] {
        let before = gateway.journal().len();
        let here = service.set_notify_url(&gateway.mchid(), url).await;
        let sent = gateway.journal().len() - before;
        assert_eq!((here.is_ok(), sent), (is_allowed, usize::from(is_allowed)), "{url}");
        let body = serde_json::json!({ "notify_url": url });
        let there = refused(&client, Method::POST, &path, &body).await;
        assert_eq!(there.is_none(), is_allowed, "{url}");
    }
}
