//! Whether a response belongs to its request.

use serde::Deserialize;
use serde_json::Value;
use wxpay_auth::BrandId;

use crate::error::Error;
use crate::foreign_response_error::ForeignResponseError;
use crate::plan::Plan;
use crate::plan_id::PlanId;

/// The response of a call that returns one plan.
#[derive(Debug, Deserialize)]
pub(crate) struct PlanResponse {
    plan: Plan,
}

/// Returns whether the plan of a response may be the one that was asked for: `false` only if the field names another one.
/// Whatever else is wrong with the response is found when it is read.
pub(crate) fn is_of(body: &[u8], field: &str, expected: &str) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return true };
    match body.get("plan").and_then(|plan| plan.get(field)) {
        Some(Value::String(found)) => found == expected,
        _ => true,
    }
}

/// Returns the plan of a response to a change, if it is the one that was asked for.
pub(crate) fn plan_of(
    operation: &'static str,
    PlanResponse { plan }: PlanResponse,
    brand_id: Option<&BrandId>,
    plan_id: Option<&PlanId>,
) -> Result<Plan, Error> {
    require(operation, false, &plan, brand_id, plan_id)?;
    Ok(plan)
}

/// Checks that a plan is the one that was asked for.
pub(crate) fn require(
    operation: &'static str,
    is_query: bool,
    plan: &Plan,
    brand_id: Option<&BrandId>,
    plan_id: Option<&PlanId>,
) -> Result<(), ForeignResponseError> {
    let foreign = |field, expected: &str, found: &str| {
        Err(ForeignResponseError::new(operation, is_query, field, expected, found))
    };
    match (brand_id, plan_id) {
        (Some(brand_id), _) if plan.brand_id != *brand_id => {
            foreign("brand_id", brand_id.as_str(), plan.brand_id.as_str())
        }
        (_, Some(plan_id)) if plan.plan_id != *plan_id => {
            foreign("plan_id", plan_id.as_str(), plan.plan_id.as_str())
        }
        _ => Ok(()),
    }
}

/// Returns whether a body is a list of plans of this brand, or of this one plan of the brand.
///
/// An empty list names no brand, so it may be the response to another request:
/// [`DeliveryPlans::list`](crate::DeliveryPlans::list) asks again.
pub(crate) fn is_list_of(body: &[u8], brand_id: &str, plan_id: Option<&str>) -> bool {
    #[derive(Deserialize)]
    struct Ids<'a> {
        #[serde(borrow)]
        plan_id: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        brand_id: std::borrow::Cow<'a, str>,
    }
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(rename = "total_count")]
        _total_count: i64,
        #[serde(borrow)]
        plan_list: Option<Vec<Ids<'a>>>,
    }
    serde_json::from_slice::<List<'_>>(body).is_ok_and(|list| {
        list.plan_list.unwrap_or_default().iter().all(|ids| {
            ids.brand_id == brand_id && plan_id.is_none_or(|plan_id| ids.plan_id == plan_id)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_plan_is_foreign_only_if_it_names_another_one() {
        let is = |body: &str| is_of(body.as_bytes(), "plan_id", "12000");
        for body in [
            r#"{"plan":{"brand_id":"1004","plan_id":"12000"}}"#,
            r#"{"plan":{"brand_id":"1004"}}"#,
            r#"{"plan":null}"#,
            "{}",
            "",
            "no",
        ] {
            assert!(is(body), "{body}");
        }
        assert!(!is(r#"{"plan":{"brand_id":"1004","plan_id":"12001"}}"#));
    }

    #[test]
    fn a_list_is_recognised_by_its_brand_and_its_plan() {
        let list = |ids: &[(&str, &str)]| {
            let plans: Vec<_> = ids
                .iter()
                .map(|(brand, plan)| serde_json::json!({"brand_id": brand, "plan_id": plan}))
                .collect();
            serde_json::json!({"total_count": 9, "plan_list": plans}).to_string()
        };
        let is = |body: &str, plan_id| is_list_of(body.as_bytes(), "1004", plan_id);
        assert!(is(&list(&[("1004", "1"), ("1004", "2")]), None));
        assert!(!is(&list(&[("1004", "1"), ("1005", "2")]), None), "another brand");
        assert!(is(&list(&[("1004", "1")]), Some("1")));
        assert!(!is(&list(&[("1004", "2")]), Some("1")), "another plan");
        assert!(is(r#"{"total_count":0}"#, Some("1")));
        assert!(is(r#"{"total_count":0,"plan_list":null}"#, None));
        for body in [
            "",
            "no",
            "{}",
            r#"{"notify_url":"https://a.example"}"#,
            r#"{"plan_list":[]}"#,
            r#"{"total_count":1,"plan_list":[{"plan_id":"1"}]}"#,
        ] {
            assert!(!is(body, None), "{body}");
        }
    }
}
