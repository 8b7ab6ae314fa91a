//! Plans are created and updated by the documented rules, and shown in the manner that a test asks for.

use serde_json::{Value, json};
use wxpay_testing::{Gateway, Plan, PlanState};

use crate::common::{Call, Credentials, PLANS, Response, terminate};

const FAMILY: &str = "/v3/marketing/partner/delivery-plan";

async fn send(gateway: &Gateway, method: &'static str, target: &str, body: &str) -> Response {
    let call = Call::new(method, target, body).signed(&Credentials::of(gateway));
    call.send(&gateway.base_url()).await
}

async fn create(gateway: &Gateway, body: &Value) -> Response {
    send(gateway, "POST", PLANS, &body.to_string()).await
}

async fn update(gateway: &Gateway, plan_id: &str, body: &Value) -> Response {
    send(gateway, "PATCH", &format!("{PLANS}/{plan_id}"), &body.to_string()).await
}

async fn shown(gateway: &Gateway, plan_id: &str) -> Value {
    let target = format!("{PLANS}/1004/delivery-plans?plan_id={plan_id}");
    send(gateway, "GET", &target, "").await.json()["plan_list"][0].clone()
}

fn with(mut body: Value, field: &str, value: impl Into<Value>) -> Value {
    let value = value.into();
    let fields = match field.strip_prefix("modify_content/") {
        Some(_) => body["modify_content"].as_object_mut().unwrap(),
        None => body.as_object_mut().unwrap(),
    };
    let field = field.rsplit('/').next().unwrap();
    if value.is_null() {
        fields.remove(field);
    } else {
        fields.insert(field.to_owned(), value);
    }
    body
}

fn new_plan() -> Value {
    json!({
        "out_request_no": "req-0001-1004", "brand_id": "1004", "product_coupon_id": "7001",
        "stock_id": "7002", "reuse_coupon_config": false, "plan_name": "样例计划",
        "total_count": 12_000, "user_limit": 2, "daily_limit": 500,
        "delivery_start_time": "2098-01-01T00:00:00+08:00",
        "delivery_end_time": "2098-01-31T00:00:00+08:00", "recommend_word": "样例标签",
    })
}

#[tokio::test]
async fn a_plan_is_created_as_asked_for() {
    let gateway = Gateway::start().await;
    let response = create(&gateway, &new_plan()).await;
    assert_eq!(response.status, 200);
    let plan = response.json()["plan"].clone();
    let mut expected = new_plan();
    expected.as_object_mut().unwrap().remove("out_request_no");
    expected["plan_id"] = "13000".into();
    expected["plan_state"] = "CREATED".into();
    expected["usage_mode"] = "SINGLE".into();
    assert_eq!(plan, expected);
    assert_eq!(shown(&gateway, "13000").await, plan);
    assert_eq!(gateway.plan_state("13000"), Some(PlanState::Created));
    assert_eq!(gateway.executions(), 1);

    let bundle = with(with(new_plan(), "stock_id", Value::Null), "stock_bundle_id", "7003");
    let bundle = with(with(bundle, "usage_mode", "PROGRESSIVE_BUNDLE"), "user_limit", Value::Null);
    let response = create(&gateway, &with(bundle, "out_request_no", "req-0002")).await;
    let plan = response.json()["plan"].clone();
    assert_eq!((&plan["plan_id"], &plan["stock_bundle_id"]), (&json!("13001"), &json!("7003")));
    assert!(plan.get("stock_id").is_none() && plan.get("user_limit").is_none(), "{plan}");
}

#[tokio::test]
async fn a_request_number_is_used_once_per_brand() {
    let gateway = Gateway::start().await;
    assert_eq!(create(&gateway, &new_plan()).await.status, 200);
    let again = create(&gateway, &new_plan()).await;
    assert_eq!((again.status, &again.json()["code"]), (400, &json!("ALREADY_EXISTS")));
    assert_eq!(create(&gateway, &with(new_plan(), "brand_id", "2008")).await.status, 200);
    let change = json!({"modify_content": {"plan_name": "x"}, "out_request_no": "req-0001-1004"});
    assert_eq!(update(&gateway, "12000", &change).await.status, 400);
    assert_eq!((gateway.plans().len(), gateway.executions()), (5, 2));
}

fn assert_refused(response: &Response, field: &str, value: &Value) {
    let body = response.json();
    assert_eq!((response.status, &body["code"]), (400, &json!("PARAM_ERROR")), "{field} {value}");
    assert_eq!(body["detail"]["field"], format!("/{field}"), "{value}");
    assert_eq!(body["detail"]["location"], "body");
    assert_eq!(&body["detail"]["value"], value, "{field}");
    let issue = body["detail"]["issue"].as_str().unwrap();
    assert!(issue.ends_with(')') && issue.contains("(40"), "the page is named: {issue}");
}

/// Each case breaks one rule.
#[tokio::test]
async fn each_rule_for_a_new_plan_is_enforced() {
    let gateway = Gateway::start().await;
    for (field, value) in [
        ("out_request_no", Value::Null),
        ("out_request_no", json!("req01")),
        ("out_request_no", json!("9".repeat(41))),
        ("out_request_no", json!("req.0001")),
        ("brand_id", Value::Null),
        ("product_coupon_id", Value::Null),
        ("product_coupon_id", json!("7".repeat(41))),
        ("reuse_coupon_config", Value::Null),
        ("reuse_coupon_config", json!("false")),
        ("usage_mode", json!("TWICE")),
        ("stock_id", Value::Null),
        ("stock_id", json!("")),
        ("stock_bundle_id", json!("7003")),
        ("plan_name", Value::Null),
        ("plan_name", json!("x".repeat(37))),
        ("plan_name", json!("一二三四五六七八九十一二三")),
        ("total_count", Value::Null),
        ("total_count", json!(9_999)),
        ("total_count", json!("12000")),
        ("user_limit", json!("2")),
        ("daily_limit", json!(0.5)),
        ("recommend_word", json!("x".repeat(28))),
        ("delivery_start_time", json!("tomorrow")),
        ("delivery_end_time", json!("2098-01-31")),
        ("delivery_start_time", json!("2020-01-01T00:00:00+08:00")),
        ("delivery_end_time", json!("2098-01-05T23:59:59+08:00")),
    ] {
        let response = create(&gateway, &with(new_plan(), field, value.clone())).await;
        assert_refused(&response, field, &value);
    }
    for body in ["", "no", "[]"] {
        assert_eq!(send(&gateway, "POST", PLANS, body).await.status, 400, "{body}");
    }
    let bundle = with(new_plan(), "usage_mode", "PROGRESSIVE_BUNDLE");
    assert_refused(&create(&gateway, &bundle).await, "stock_id", &json!("7002"));
    let bundle = with(bundle, "stock_id", Value::Null);
    assert_refused(&create(&gateway, &bundle).await, "stock_bundle_id", &Value::Null);
    assert_eq!((gateway.plans().len(), gateway.executions()), (3, 0));
}

#[tokio::test]
async fn each_rule_for_an_update_is_enforced() {
    let gateway = Gateway::start().await;
    let unlimited = Plan::new("7", "1004").with_field("user_limit", Value::Null);
    gateway.add_plan(unlimited.with_field("daily_limit", Value::Null));
    let change = |no: &str| json!({"modify_content": {"plan_name": "x"}, "out_request_no": no});
    for (plan_id, field, value) in [
        ("12000", "out_request_no", json!("req")),
        ("12000", "modify_content", Value::Null),
        ("12000", "modify_content", json!({})),
        ("12000", "modify_content/plan_name", json!("x".repeat(37))),
        ("12000", "modify_content/recommend_word", json!("x".repeat(28))),
        ("12000", "modify_content/delivery_end_time", json!("never")),
        ("12000", "modify_content/delivery_end_time", json!("2099-12-31T23:59:59+08:00")),
        ("12000", "modify_content/total_count", json!(10_000)),
        ("12000", "modify_content/user_limit", json!(1)),
        ("12000", "modify_content/daily_limit", json!(999)),
        ("7", "modify_content/user_limit", json!(100)),
        ("7", "modify_content/daily_limit", json!(10_000)),
    ] {
        let body = with(change("req-0001"), field, value.clone());
        assert_refused(&update(&gateway, plan_id, &body).await, field, &value);
    }
    let unknown = update(&gateway, "99999", &change("req-0002")).await;
    assert_eq!((unknown.status, &unknown.json()["code"]), (404, &json!("RESOURCE_NOT_EXISTS")));
    gateway.add_plan(Plan::new("8", "1004").with_state(PlanState::Expired));
    gateway.add_plan(Plan::new("9", "1004").with_field("reuse_coupon_config", true));
    for plan_id in ["8", "9"] {
        let refused = update(&gateway, plan_id, &change("req-0003")).await;
        assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("INVALID_REQUEST")));
    }
    assert_eq!(gateway.executions(), 0);

    let change = json!({
        "out_request_no": "req-0004",
        "modify_content": {
            "plan_name": "样例计划二", "delivery_end_time": "2100-02-28T00:00:00+08:00",
            "total_count": 13_000, "user_limit": 3, "daily_limit": 2_000,
            "recommend_word": "样例标签",
        },
    });
    let response = update(&gateway, "12000", &change).await;
    assert_eq!(response.status, 200);
    let plan = response.json()["plan"].clone();
    for (field, value) in change["modify_content"].as_object().unwrap() {
        assert_eq!(&plan[field], value, "{field}");
    }
    assert_eq!(shown(&gateway, "12000").await, plan);
    assert_eq!(gateway.executions(), 1);
}

#[tokio::test]
async fn the_address_for_notifications_is_kept() {
    let gateway = Gateway::start().await;
    assert_eq!(gateway.plan_notify_url(), None);
    let target = format!("{FAMILY}/{}/notify-url", gateway.mchid());
    let url = json!({"notify_url": "https://notify.example.test/plan"});
    let long = format!("https://a.example/{}", "x".repeat(256));
    for wrong in
        ["", "http://a.example/", "https://", "https://a.example/?b=1", "a.example", long.as_str()]
    {
        let body = json!({ "notify_url": wrong }).to_string();
        let response = send(&gateway, "POST", &target, &body).await;
        assert_refused(&response, "notify_url", &json!(wrong));
    }
    let other = format!("{FAMILY}/1900000001/notify-url");
    assert_eq!(send(&gateway, "POST", &other, &url.to_string()).await.status, 400);
    let response = send(&gateway, "POST", &target, &url.to_string()).await;
    assert_eq!((response.status, response.json()), (200, url));
    let kept = gateway.plan_notify_url();
    assert_eq!(kept.as_deref(), Some("https://notify.example.test/plan"));
    assert_eq!(gateway.executions(), 1);
}

#[tokio::test]
async fn a_brand_may_withdraw_its_authorisation() {
    let gateway = Gateway::start().await;
    let target = "/v3/brand-basic/partner/brands/1004/product-authorities";
    let products = async || {
        let body = send(&gateway, "GET", target, "").await.json();
        assert_eq!(body["brand_id"], "1004");
        body["authorization_product"].to_string()
    };
    assert!(products().await.contains("SHAKE_COUPON"));
    gateway.withdraw_authority("1004");
    assert!(!products().await.contains("SHAKE_COUPON"));
    let refused = create(&gateway, &new_plan()).await;
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!("NO_AUTH")));
    assert_eq!(gateway.executions(), 0);
}

#[tokio::test]
async fn plans_are_shown_in_other_manners() {
    let gateway = Gateway::start().await;
    gateway.show_both_stock_ids();
    let both = shown(&gateway, "12000").await;
    assert_eq!(both.as_object().unwrap().len(), 15, "as in the official sample");
    assert!(both["stock_id"].is_string() && both["stock_bundle_id"].is_string());

    let gateway = Gateway::start().await;
    gateway.show_plans_of_2025();
    let older = shown(&gateway, "12001").await;
    assert_eq!(older.as_object().unwrap().len(), 13);
    assert_eq!(older["plan_state"], "PLAN_PAUSED");
    assert!(older.get("usage_mode").is_none());
}

#[tokio::test]
async fn a_termination_may_take_its_time() {
    let gateway = Gateway::start().await;
    gateway.terminate_slowly(2);
    assert_eq!(shown(&gateway, "12000").await["plan_state"], "DELIVERING");
    let call = Call::post(&gateway, &terminate("12000"));
    assert_eq!(call.send(&gateway.base_url()).await.status, 204);
    for state in ["PLAN_TERMINATING", "PLAN_TERMINATING", "TERMINATED", "TERMINATED"] {
        assert_eq!(shown(&gateway, "12000").await["plan_state"], state);
    }
    assert_eq!(gateway.plan_state("12000"), Some(PlanState::Terminated));
}
