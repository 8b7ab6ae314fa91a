//! What no page says, or pages contradict each other on, stays open. A test here fails when a type decides it.

use serde_json::{Map, Value, json};
use wxpay_marketing::{
    AuditState, AuthorizationType, ListPlans, Plan, PlanId, PlanPage, PlanState, ProductAuthority,
    UpdatePlan, UsageMode,
};

use crate::common::brand;

/// Returns a plan with the fields that all pages agree on, and others.
fn plan(more: Value) -> Plan {
    let mut plan = json!({
        "plan_id": "50001", "plan_name": "x", "plan_state": "CREATED", "brand_id": "70001",
        "delivery_start_time": "2027-01-01T00:00:00+08:00",
        "delivery_end_time": "2027-01-31T00:00:00+08:00", "product_coupon_id": "7",
    });
    let Value::Object(more) = more else { panic!("an object") };
    plan.as_object_mut().unwrap().extend(more);
    serde_json::from_value(plan).unwrap()
}

#[test]
fn what_may_be_missing_is_an_option() {
    let Plan {
        usage_mode,
        stock_id,
        stock_bundle_id,
        recommend_word,
        total_count,
        user_limit,
        daily_limit,
        reuse_coupon_config,
        extra,
        ..
    } = plan(json!({}));
    let _: Option<UsageMode> = usage_mode;
    let texts: [Option<String>; 3] = [stock_id, stock_bundle_id, recommend_word];
    let counts: [Option<i64>; 3] = [total_count, user_limit, daily_limit];
    let _: Option<bool> = reuse_coupon_config;
    let _: Map<String, Value> = extra;
    assert_eq!((texts, counts), ([None, None, None], [None; 3]));
}

#[test]
fn null_is_absent() {
    let fields = [
        "usage_mode",
        "stock_id",
        "stock_bundle_id",
        "recommend_word",
        "total_count",
        "user_limit",
        "daily_limit",
        "reuse_coupon_config",
    ];
    let nulls: Map<String, Value> =
        fields.into_iter().map(|field| (field.to_owned(), Value::Null)).collect();
    assert_eq!(plan(nulls.into()), plan(json!({})));
}

#[test]
fn both_stock_ids_or_none_are_read_with_every_usage_mode() {
    for usage_mode in ["SINGLE", "PROGRESSIVE_BUNDLE", "OTHER"] {
        for ids in [json!({}), json!({"stock_id": "1", "stock_bundle_id": "2"})] {
            let mut fields = ids;
            fields["usage_mode"] = usage_mode.into();
            assert_eq!(plan(fields).usage_mode, Some(UsageMode::from(usage_mode)));
        }
    }
}

#[test]
fn counts_go_beyond_32_bits() {
    for count in [i64::from(u32::MAX) + 1, i64::MAX, 0, -1] {
        let plan = plan(json!({"total_count": count, "user_limit": count, "daily_limit": count}));
        let counts = (plan.total_count, plan.user_limit, plan.daily_limit);
        assert_eq!(counts, (Some(count), Some(count), Some(count)));
    }
    let page: PlanPage = serde_json::from_value(json!({"total_count": i64::MAX})).unwrap();
    assert_eq!(page.total_count, i64::MAX);
}

#[test]
fn texts_that_are_not_documented_are_kept() {
    let odd = plan(
        json!({"plan_state": "RESTING", "usage_mode": "TWICE", "audit_state": "AUDIT_PASSED", "new": [1]}),
    );
    assert_eq!(odd.plan_state, PlanState::Unknown("RESTING".into()));
    assert!(!odd.plan_state.is_final(), "what it means is not known");
    assert_eq!(odd.extra["new"], json!([1]));
    assert_eq!(odd.extra["audit_state"], "AUDIT_PASSED", "no page has it in a plan");
    let written = serde_json::to_value(&odd).unwrap();
    for (field, text) in [("plan_state", "RESTING"), ("usage_mode", "TWICE")] {
        assert_eq!(written[field], text);
    }
    assert_eq!(serde_json::from_value::<Plan>(written).unwrap(), odd);
    for text in ["X", "AUDIT_X", ""] {
        assert_eq!(AuditState::from(text).as_str(), text);
        assert_eq!(AuthorizationType::from(text).as_str(), text);
        assert_eq!(ProductAuthority::from(text).as_str(), text);
    }
}

/// A limit that an answer lacks may have been set: whether it can be raised is left to WeChat Pay.
#[test]
fn what_an_answer_lacks_is_not_compared() {
    let update = || UpdatePlan::new("req-0002-70001");
    for update in [update().total_count(1), update().user_limit(1), update().daily_limit(1)] {
        assert_eq!(update.check_against(&plan(json!({}))), Ok(()));
        let has = plan(json!({"total_count": 1, "user_limit": 1, "daily_limit": 1}));
        assert!(update.check_against(&has).is_err(), "what it has is compared");
    }
}

#[test]
fn the_characters_and_the_length_of_an_id_are_open() {
    for id in ["1", "计划", "a:b@c+d", &"9".repeat(40)] {
        let plan = plan(json!({"plan_id": id, "product_coupon_id": "x".repeat(99)}));
        assert_eq!(plan.plan_id, PlanId::new(id).unwrap());
    }
    // A filter may have every text.
    let query = ListPlans::new(brand("70001")).plan_state(PlanState::from("NEW STATE"));
    query.audit_state(AuditState::from("NEW")).check().unwrap();
}
