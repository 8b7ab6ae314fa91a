//! The calls of the gateway.

use percent_encoding::percent_decode_str;

use crate::coupon_calls::CouponRoute;
use crate::plan::PlanState;
use crate::plan_route::PlanRoute;
use crate::response::RawResponse;

/// A call with its decoded parameters.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// 终止投放计划: <https://pay.weixin.qq.com/doc/v3/partner/4016184572>
    Terminate { plan_id: String },
    /// 分页查询投放计划列表: <https://pay.weixin.qq.com/doc/v3/partner/4016184563>
    List { brand_id: String, query: &'a str },
    /// Another call about plans.
    Plan(PlanRoute),
    /// A call about product coupons.
    Coupon(CouponRoute),
}

const PLANS: &str = "/v3/marketing/partner/delivery-plan/delivery-plans/";

impl<'a> Route<'a> {
    /// Finds the call. Each path segment is percent-decoded exactly once.
    pub(crate) fn find(method: &str, target: &'a str) -> Option<Self> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if let Some(route) = PlanRoute::find(method, path) {
            return Some(Self::Plan(route));
        }
        if let Some(route) = CouponRoute::find(method, path, query) {
            return Some(Self::Coupon(route));
        }
        let (segment, last) = path.strip_prefix(PLANS)?.split_once('/')?;
        let id = decoded(segment).filter(|id| !id.is_empty())?;
        match (method, last) {
            ("POST", "terminate") => Some(Self::Terminate { plan_id: id }),
            ("GET", "delivery-plans") => Some(Self::List { brand_id: id, query }),
            _ => None,
        }
    }
}

/// The filters and the page of a list call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ListQuery {
    pub(crate) page_size: usize,
    pub(crate) offset: usize,
    pub(crate) plan_state: Option<PlanState>,
    pub(crate) plan_id: Option<String>,
}

impl ListQuery {
    /// Parses a query string. `audit_state` is accepted and ignored: plans here have none.
    pub(crate) fn parse(query: &str) -> Result<Self, RawResponse> {
        let mut parsed = Self { page_size: 10, offset: 0, plan_state: None, plan_id: None };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, raw) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(raw).ok_or_else(|| wrong(name, raw))?;
            let number = value.parse::<usize>().ok();
            match name {
                "page_size" => {
                    let size = number.filter(|n| (1..=50).contains(n));
                    parsed.page_size = size.ok_or_else(|| wrong(name, &value))?;
                }
                "offset" => parsed.offset = number.ok_or_else(|| wrong(name, &value))?,
                "plan_state" => {
                    let state = PlanState::from_name(&value);
                    parsed.plan_state = Some(state.ok_or_else(|| wrong(name, &value))?);
                }
                "plan_id" => parsed.plan_id = Some(value),
                _ => {}
            }
        }
        Ok(parsed)
    }
}

fn wrong(field: &str, value: &str) -> RawResponse {
    let detail = serde_json::json!({
        "field": field, "value": value, "issue": "the value is not allowed", "location": "query",
    });
    let (code, message) = ("PARAM_ERROR", "参数错误");
    let body = serde_json::json!({ "code": code, "message": message, "detail": detail });
    RawResponse::json(400, &body)
}

pub(crate) fn decoded(raw: &str) -> Option<String> {
    Some(percent_decode_str(raw).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "/v3/marketing/partner/delivery-plan/delivery-plans";

    #[test]
    fn a_segment_is_decoded_exactly_once() {
        for (segment, plan_id) in [
            ("12000", "12000"),
            ("a%2Fb", "a/b"),
            ("%2520", "%20"),
            ("..", ".."),
            ("%E4%B8%AD", "中"),
        ] {
            let target = format!("{BASE}/{segment}/terminate");
            let plan_id = plan_id.to_owned();
            assert_eq!(Route::find("POST", &target).unwrap(), Route::Terminate { plan_id });
        }
    }

    #[test]
    fn other_paths_and_methods_are_not_there() {
        let is_there = |method, rest: &str| Route::find(method, &format!("{BASE}{rest}")).is_some();
        assert!(is_there("POST", "/12000/terminate"));
        assert!(is_there("GET", "/1004/delivery-plans?offset=0"));
        assert!(!is_there("GET", "/12000/terminate"));
        assert!(!is_there("POST", "/1004/delivery-plans"));
        assert!(is_there("POST", ""), "creates a plan");
        for rest in ["/", "//terminate", "/12000", "/a/b/terminate", "/%ff/terminate"] {
            assert!(!is_there("POST", rest), "{rest}");
        }
    }

    #[test]
    fn a_query_is_read() {
        let query = ListQuery::parse("page_size=50&offset=3&plan_state=PAUSED&plan_id=a%26b&x=1");
        let (plan_state, plan_id) = (Some(PlanState::Paused), Some("a&b".to_owned()));
        assert_eq!(query.unwrap(), ListQuery { page_size: 50, offset: 3, plan_state, plan_id });
        for wrong in ["page_size=0", "page_size=51", "offset=-1", "plan_state=X", "plan_id=%ff"] {
            assert_eq!(ListQuery::parse(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }
}
