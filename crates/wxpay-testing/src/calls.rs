//! Carries out an authentic request.

use serde_json::json;

use crate::misbehaviour::{ErrorBody, Misbehaviour};
use crate::plan::{Plan, PlanState};
use crate::request::RawRequest;
use crate::response::RawResponse;
use crate::route::{ListQuery, Route};
use crate::wechat_pay::WechatPay;

impl WechatPay {
    /// Carries out a call, unless a misbehaviour prevents it.
    pub(crate) fn obey(&self, request: RawRequest<'_>) -> RawResponse {
        match self.next_misbehaviour() {
            Some(Misbehaviour::Redirect) => {
                let mut response = RawResponse::html(302).with_header("Location", "/v3/elsewhere");
                self.add_common_headers(&mut response);
                response
            }
            Some(Misbehaviour::Status { status, body, signed, executed }) => {
                let executed = executed && self.carry_out(request).executed;
                let mut response = error_response(status, &body);
                response.executed = executed;
                if signed {
                    self.sign(&mut response, None);
                } else {
                    self.add_common_headers(&mut response);
                }
                response
            }
            Some(Misbehaviour::ForgedStatus { status, body, executed }) => {
                let executed = executed && self.carry_out(request).executed;
                let mut response = error_response(status, &body);
                response.executed = executed;
                let body = std::mem::replace(&mut response.body, b"another body".to_vec());
                self.sign(&mut response, None);
                response.body = body;
                response
            }
            misbehaviour => {
                let right = self.carry_out(request);
                let mut response = replaced(right, misbehaviour.as_ref());
                self.sign(&mut response, misbehaviour.as_ref());
                response
            }
        }
    }

    fn carry_out(&self, request: RawRequest<'_>) -> RawResponse {
        match Route::find(request.method, request.target) {
            Some(Route::Terminate { plan_id }) => self.terminate(&plan_id, request.body),
            Some(Route::List { brand_id, query }) => match ListQuery::parse(query) {
                Ok(query) => self.list(&brand_id, &query),
                Err(response) => response,
            },
            Some(Route::Plan(route)) => self.carry_out_plan_call(route, request.body),
            Some(Route::Coupon(route)) => self.carry_out_coupon_call(&route),
            None => RawResponse::error(404, "NOT_FOUND", "请求的资源不存在"),
        }
    }

    /// The response for a plan that does not exist, or has ended, is not documented; these responses are
    /// this gateway's choice.
    fn terminate(&self, plan_id: &str, body: &[u8]) -> RawResponse {
        if !body.is_empty() {
            return RawResponse::error(400, "PARAM_ERROR", "参数错误");
        }
        self.with_desk(|plans, desk| match plans.get_mut(plan_id) {
            None => RawResponse::error(404, "RESOURCE_NOT_EXISTS", "投放计划不存在"),
            Some(plan) if plan.state.is_final() => {
                RawResponse::error(400, "INVALID_REQUEST", "投放计划已结束")
            }
            Some(plan) => {
                plan.state = PlanState::Terminated;
                desk.terminated(plan_id);
                RawResponse { executed: true, ..RawResponse::empty(204) }
            }
        })
    }

    fn list(&self, brand_id: &str, query: &ListQuery) -> RawResponse {
        let matches = |plan: &&Plan| {
            plan.brand_id == brand_id
                && query.plan_id.as_ref().is_none_or(|id| *id == plan.plan_id)
                && query.plan_state.is_none_or(|state| state == plan.state)
        };
        let (total_count, page) = self.with_desk(|plans, desk| {
            let found: Vec<&Plan> = plans.values().filter(matches).collect();
            let page = found.iter().skip(query.offset).take(query.page_size);
            (found.len(), page.map(|plan| desk.shown(plan, true)).collect::<Vec<_>>())
        });
        let mut body = json!({ "total_count": total_count });
        if let (false, Some(body)) = (page.is_empty(), body.as_object_mut()) {
            body.insert("plan_list".to_owned(), page.into());
        }
        RawResponse::json(200, &body)
    }
}

/// Replaces the correct response with another one.
fn replaced(right: RawResponse, misbehaviour: Option<&Misbehaviour>) -> RawResponse {
    let executed = right.executed;
    let response = match misbehaviour {
        Some(Misbehaviour::UnexpectedSuccess { status, body }) => {
            RawResponse::json_text(*status, body.as_str())
        }
        Some(Misbehaviour::Oversized(bytes)) => RawResponse::json_text(200, vec![b' '; *bytes]),
        Some(Misbehaviour::Slow(delay)) => RawResponse { delay: *delay, ..right },
        _ => right,
    };
    RawResponse { executed, ..response }
}

fn error_response(status: u16, body: &ErrorBody) -> RawResponse {
    match body {
        ErrorBody::Json { code, message } => RawResponse::error(status, code, message),
        ErrorBody::CodelessJson => RawResponse::json(status, &json!({ "message": "no" })),
        ErrorBody::Html => RawResponse::html(status),
        ErrorBody::Empty => RawResponse::empty(status),
        ErrorBody::Text => RawResponse::new(status, "no").with_header("Content-Type", "text/plain"),
        ErrorBody::Padded(bytes) => {
            let mut response = RawResponse::error(status, "PARAM_ERROR", "参数错误");
            response.body.resize(response.body.len().max(*bytes), b' ');
            response
        }
        ErrorBody::NonUtf8 => RawResponse::json_text(status, [b'{', 0xff, 0xfe, b'}']),
    }
}
