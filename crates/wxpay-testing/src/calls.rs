//! What the gateway does with an authentic request.

use serde_json::json;

use crate::answer::RawAnswer;
use crate::misbehaviour::{ErrorBody, Misbehaviour};
use crate::plan::{Plan, PlanState};
use crate::request::RawRequest;
use crate::route::{ListQuery, Route};
use crate::wechat_pay::WechatPay;

impl WechatPay {
    /// Carries a call out, as far as no misbehaviour is in its way.
    pub(crate) fn obey(&self, request: RawRequest<'_>) -> RawAnswer {
        match self.next_misbehaviour() {
            Some(Misbehaviour::Redirect) => {
                let mut answer = RawAnswer::html(302).with_header("Location", "/v3/elsewhere");
                self.add_common_headers(&mut answer);
                answer
            }
            Some(Misbehaviour::Status { status, body, signed, executed }) => {
                let executed = executed && self.carry_out(request).executed;
                let mut answer = error_answer(status, &body);
                answer.executed = executed;
                if signed {
                    self.sign(&mut answer, None);
                } else {
                    self.add_common_headers(&mut answer);
                }
                answer
            }
            Some(Misbehaviour::ForgedStatus { status, body, executed }) => {
                let executed = executed && self.carry_out(request).executed;
                let mut answer = error_answer(status, &body);
                answer.executed = executed;
                let body = std::mem::replace(&mut answer.body, b"another body".to_vec());
                self.sign(&mut answer, None);
                answer.body = body;
                answer
            }
            misbehaviour => {
                let right = self.carry_out(request);
                let mut answer = replaced(right, misbehaviour.as_ref());
                self.sign(&mut answer, misbehaviour.as_ref());
                answer
            }
        }
    }

    fn carry_out(&self, request: RawRequest<'_>) -> RawAnswer {
        match Route::find(request.method, request.target) {
            Some(Route::Terminate { plan_id }) => self.terminate(&plan_id, request.body),
            Some(Route::List { brand_id, query }) => match ListQuery::parse(query) {
                Ok(query) => self.list(&brand_id, &query),
                Err(answer) => answer,
            },
            None => RawAnswer::error(404, "NOT_FOUND", "请求的资源不存在"),
        }
    }

    /// What a plan that is not there, or has ended, is answered with is not documented; these
    /// answers are this gateway's choice.
    fn terminate(&self, plan_id: &str, body: &[u8]) -> RawAnswer {
        if !body.is_empty() {
            return RawAnswer::error(400, "PARAM_ERROR", "参数错误");
        }
        self.with_plans(|plans| match plans.get_mut(plan_id) {
            None => RawAnswer::error(404, "RESOURCE_NOT_EXISTS", "投放计划不存在"),
            Some(plan) if plan.state.is_final() => {
                RawAnswer::error(400, "INVALID_REQUEST", "投放计划已结束")
            }
            Some(plan) => {
                plan.state = PlanState::Terminated;
                RawAnswer { executed: true, ..RawAnswer::empty(204) }
            }
        })
    }

    fn list(&self, brand_id: &str, query: &ListQuery) -> RawAnswer {
        let matches = |plan: &&Plan| {
            plan.brand_id == brand_id
                && query.plan_id.as_ref().is_none_or(|id| *id == plan.plan_id)
                && query.plan_state.is_none_or(|state| state == plan.state)
        };
        let found: Vec<_> =
            self.with_plans(|plans| plans.values().filter(matches).map(Plan::to_json).collect());
        let mut body = json!({ "total_count": found.len() });
        let page: Vec<_> = found.into_iter().skip(query.offset).take(query.page_size).collect();
        if let (false, Some(body)) = (page.is_empty(), body.as_object_mut()) {
            body.insert("plan_list".to_owned(), page.into());
        }
        RawAnswer::json(200, &body)
    }
}

/// Puts another answer in place of the right one, which has been carried out.
fn replaced(right: RawAnswer, misbehaviour: Option<&Misbehaviour>) -> RawAnswer {
    let executed = right.executed;
    let answer = match misbehaviour {
        Some(Misbehaviour::UnexpectedSuccess { status, body }) => {
            RawAnswer::json_text(*status, body.as_str())
        }
        Some(Misbehaviour::Oversized(bytes)) => RawAnswer::json_text(200, vec![b' '; *bytes]),
        Some(Misbehaviour::Slow(delay)) => RawAnswer { delay: *delay, ..right },
        _ => right,
    };
    RawAnswer { executed, ..answer }
}

fn error_answer(status: u16, body: &ErrorBody) -> RawAnswer {
    match body {
        ErrorBody::Json { code, message } => RawAnswer::error(status, code, message),
        ErrorBody::CodelessJson => RawAnswer::json(status, &json!({ "message": "no" })),
        ErrorBody::Html => RawAnswer::html(status),
        ErrorBody::Empty => RawAnswer::empty(status),
        ErrorBody::Text => RawAnswer::new(status, "no").with_header("Content-Type", "text/plain"),
        ErrorBody::Padded(bytes) => {
            let mut answer = RawAnswer::error(status, "PARAM_ERROR", "参数错误");
            answer.body.resize(answer.body.len().max(*bytes), b' ');
            answer
        }
        ErrorBody::NonUtf8 => RawAnswer::json_text(status, [b'{', 0xff, 0xfe, b'}']),
    }
}
