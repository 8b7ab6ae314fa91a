//! What the documentation demands of requests about delivery plans: one table for each call.
//!
//! Written from the official pages alone, without the client's rules in mind. What depends on the coupon's stock is not
//! here, since the gateway has no stocks.

use serde_json::{Value, json};
use wxpay_auth_core::DateTime;

use crate::response::RawResponse;

/// A rule for one field.
pub(crate) struct Rule {
    /// The JSON pointer of the field.
    pub(crate) field: &'static str,
    /// What is demanded.
    pub(crate) issue: &'static str,
    /// The number of the official page.
    pub(crate) page: &'static str,
    is_kept: fn(&Facts<'_>) -> bool,
}

/// What a rule looks at.
struct Facts<'a> {
    /// The field, if it is there.
    value: Option<&'a Value>,
    body: &'a Value,
    /// Unix seconds.
    now: i64,
    /// The plan that is updated, as it is shown.
    plan: &'a Value,
}

const fn rule(
    field: &'static str,
    issue: &'static str,
    page: &'static str,
    is_kept: fn(&Facts<'_>) -> bool,
) -> Rule {
    Rule { field, issue, page, is_kept }
}

/// 创建投放计划
pub(crate) const CREATE: &[Rule] = &[
    rule("/out_request_no", "6-40 of [0-9A-Za-z_-]", "4016184554", |f| is_request_no(f.value)),
    rule("/brand_id", "required", "4016184554", |f| is_text(f.value, 32)),
    rule("/product_coupon_id", "required", "4016184554", |f| is_text(f.value, 40)),
    rule("/reuse_coupon_config", "required", "4016184554", |f| {
        f.value.is_some_and(Value::is_boolean)
    }),
    rule("/usage_mode", "SINGLE or PROGRESSIVE_BUNDLE", "4016184554", |f| {
        f.value.is_none_or(|mode| mode == "SINGLE" || mode == "PROGRESSIVE_BUNDLE")
    }),
    rule("/stock_id", "exactly with SINGLE", "4016184554", |f| {
        if is_bundle(f) { f.value.is_none() } else { is_text(f.value, 40) }
    }),
    rule("/stock_bundle_id", "exactly with PROGRESSIVE_BUNDLE", "4016184554", |f| {
        if is_bundle(f) {
            f.value.and_then(Value::as_str).is_some_and(|id| !id.is_empty())
        } else {
            f.value.is_none()
        }
    }),
    rule("/plan_name", "required without reuse_coupon_config", "4016184554", |f| {
        f.value.is_some() || is_reused(f)
    }),
    rule("/plan_name", "string(36)", "4016184554", |f| is_short(f.value, 36)),
    rule("/total_count", "required without reuse_coupon_config", "4016184554", |f| {
        f.value.is_some() || is_reused(f)
    }),
    rule("/total_count", "at least 10000", "4016111064", |f| {
        f.value.is_none_or(|count| count.as_i64().is_some_and(|count| count >= 10_000))
    }),
    rule("/user_limit", "integer", "4016184554", |f| f.value.is_none_or(Value::is_i64)),
    rule("/daily_limit", "integer", "4016184554", |f| f.value.is_none_or(Value::is_i64)),
    rule("/recommend_word", "string(27)", "4016184554", |f| is_short(f.value, 27)),
    rule("/delivery_start_time", "rfc3339", "4016184554", |f| is_time(f.value)),
    rule("/delivery_end_time", "rfc3339", "4016184554", |f| is_time(f.value)),
    rule("/delivery_start_time", "later than now", "4016184554", |f| {
        seconds(f.value).is_none_or(|start| start > f.now)
    }),
    rule("/delivery_end_time", "at least 5 days after the start", "4016111064", |f| {
        let start = seconds(f.body.pointer("/delivery_start_time"));
        start.zip(seconds(f.value)).is_none_or(|(start, end)| end - start >= 5 * 24 * 3600)
    }),
];

/// 更新投放计划
pub(crate) const UPDATE: &[Rule] = &[
    rule("/out_request_no", "6-40 of [0-9A-Za-z_-]", "4016184594", |f| is_request_no(f.value)),
    rule("/modify_content", "required", "4016184594", |f| {
        f.value.and_then(Value::as_object).is_some_and(|changes| !changes.is_empty())
    }),
    rule("/modify_content/plan_name", "string(36)", "4016184594", |f| is_short(f.value, 36)),
    rule("/modify_content/recommend_word", "string(27)", "4016184594", |f| is_short(f.value, 27)),
    rule("/modify_content/delivery_end_time", "rfc3339", "4016184594", |f| is_time(f.value)),
    rule("/modify_content/delivery_end_time", "only later", "4016184594", |f| {
        let current = seconds(f.plan.get("delivery_end_time"));
        seconds(f.value).zip(current).is_none_or(|(end, current)| end > current)
    }),
    rule("/modify_content/total_count", "only larger", "4016184594", |f| {
        is_larger(f.value, f.plan.get("total_count"))
    }),
    rule("/modify_content/user_limit", "not set at creation", "4016184594", |f| {
        f.value.is_none() || f.plan.get("user_limit").is_some()
    }),
    rule("/modify_content/user_limit", "only larger", "4016184594", |f| {
        is_larger(f.value, f.plan.get("user_limit"))
    }),
    rule("/modify_content/daily_limit", "not set at creation", "4016184594", |f| {
        f.value.is_none() || f.plan.get("daily_limit").is_some()
    }),
    rule("/modify_content/daily_limit", "only larger", "4016184594", |f| {
        is_larger(f.value, f.plan.get("daily_limit"))
    }),
];

/// 设置投放计划回调地址
pub(crate) const NOTIFY_URL: &[Rule] = &[
    rule("/notify_url", "string(256)", "4016184598", |f| is_text(f.value, 256)),
    rule("/notify_url", "a full https address", "4016184598", |f| {
        let rest = f.value.and_then(Value::as_str).and_then(|url| {
            url.get(..8).filter(|scheme| scheme.eq_ignore_ascii_case("https://"))?;
            url.get(8..)
        });
        rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
    }),
    rule("/notify_url", "no query parameters", "4016184598", |f| {
        f.value.and_then(Value::as_str).is_some_and(|url| !url.contains(['?', '#']))
    }),
];

/// Applies the rules to a body, in their order. `plan` is the plan that is updated.
pub(crate) fn check(
    rules: &[Rule],
    body: &Value,
    now: u64,
    plan: Option<&Value>,
) -> Result<(), RawResponse> {
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let plan = plan.unwrap_or(&Value::Null);
    let broken = rules.iter().find(|rule| {
        let value = body.pointer(rule.field).filter(|value| !value.is_null());
        !(rule.is_kept)(&Facts { value, body, now, plan })
    });
    match broken {
        None => Ok(()),
        Some(rule) => Err(param_error(
            rule.field,
            body.pointer(rule.field).unwrap_or(&Value::Null),
            &format!("{} ({})", rule.issue, rule.page),
        )),
    }
}

/// Builds the response to a body whose field is wrong.
pub(crate) fn param_error(field: &str, value: &Value, issue: &str) -> RawResponse {
    let detail = json!({ "field": field, "value": value, "issue": issue, "location": "body" });
    RawResponse::json(
        400,
        &json!({ "code": "PARAM_ERROR", "message": "参数错误", "detail": detail }),
    )
}

fn is_request_no(value: Option<&Value>) -> bool {
    value.and_then(Value::as_str).is_some_and(|no| {
        (6..=40).contains(&no.len())
            && no.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    })
}

/// Whether a required text is there.
fn is_text(value: Option<&Value>, most: usize) -> bool {
    let text = value.and_then(Value::as_str);
    text.is_some_and(|text| (1..=most).contains(&text.chars().count()))
}

/// Whether an optional text has at most this many bytes.
fn is_short(value: Option<&Value>, most: usize) -> bool {
    value.is_none_or(|text| text.as_str().is_some_and(|text| (1..=most).contains(&text.len())))
}

fn is_bundle(facts: &Facts<'_>) -> bool {
    facts.body["usage_mode"] == "PROGRESSIVE_BUNDLE"
}

fn is_reused(facts: &Facts<'_>) -> bool {
    facts.body["reuse_coupon_config"] == true
}

fn is_time(value: Option<&Value>) -> bool {
    value.is_none() || seconds(value).is_some()
}

fn seconds(value: Option<&Value>) -> Option<i64> {
    let time: DateTime = value?.as_str()?.parse().ok()?;
    Some(time.unix_secs())
}

fn is_larger(value: Option<&Value>, current: Option<&Value>) -> bool {
    match (value, current) {
        (None, _) => true,
        (Some(value), current) => value.as_i64().is_some_and(|value| {
            current.and_then(Value::as_i64).is_none_or(|current| value > current)
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_names_an_official_page() {
        for rule in CREATE.iter().chain(UPDATE).chain(NOTIFY_URL) {
            assert!(rule.field.starts_with('/'), "{}", rule.field);
            let is_page = rule.page.len() == 10 && rule.page.bytes().all(|b| b.is_ascii_digit());
            assert!(is_page && !rule.issue.is_empty(), "{} {}", rule.field, rule.page);
        }
    }

    #[test]
    fn the_broken_rule_is_named_as_the_documentation_says() {
        let body = json!({ "modify_content": { "total_count": 1 }, "out_request_no": "req-0001" });
        let plan = json!({ "total_count": 10_000 });
        let response = check(UPDATE, &body, 0, Some(&plan)).unwrap_err();
        assert_eq!(response.status, 400);
        let body: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(
            body,
            json!({
                "code": "PARAM_ERROR",
                "message": "参数错误",
                "detail": {
                    "field": "/modify_content/total_count",
                    "value": 1,
                    "issue": "only larger (4016184594)",
                    "location": "body",
                },
            })
        );
    }
}
