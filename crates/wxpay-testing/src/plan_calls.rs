//! Creates and updates delivery plans, and what goes with them.

use serde_json::{Value, json};

use crate::plan::{Plan, PlanState};
use crate::plan_route::PlanRoute;
use crate::plan_rules::{self, param_error};
use crate::response::RawResponse;
use crate::wechat_pay::WechatPay;

/// The id of the first plan that is created.
const FIRST_ID: u64 = 13_000;

/// The fields of a plan that a request can set.
const FIELDS: [&str; 12] = [
    "plan_name",
    "delivery_start_time",
    "delivery_end_time",
    "product_coupon_id",
    "usage_mode",
    "stock_id",
    "stock_bundle_id",
    "recommend_word",
    "total_count",
    "user_limit",
    "daily_limit",
    "reuse_coupon_config",
];

impl WechatPay {
    /// Carries out a call.
    pub(crate) fn carry_out_plan_call(&self, route: PlanRoute, body: &[u8]) -> RawResponse {
        let ended = match route {
            PlanRoute::Create => parsed(body).and_then(|body| self.create_plan(&body)),
            PlanRoute::Update { plan_id } => {
                parsed(body).and_then(|body| self.update_plan(&plan_id, &body))
            }
            PlanRoute::NotifyUrl { sp_mchid } => {
                parsed(body).and_then(|body| self.set_notify_url(&sp_mchid, &body))
            }
            PlanRoute::Authorities { brand_id } => Ok(self.authorities(&brand_id)),
        };
        ended.unwrap_or_else(|refusal| refusal)
    }

    fn create_plan(&self, body: &Value) -> Result<RawResponse, RawResponse> {
        plan_rules::check(plan_rules::CREATE, body, self.now().as_unix_secs(), None)?;
        let brand_id = text(body, "brand_id");
        self.with_desk(|plans, desk| {
            if desk.withdrawn.contains(&brand_id) {
                return Err(RawResponse::error(403, "NO_AUTH", "品牌未授权"));
            }
            if !desk.request_numbers.insert((brand_id.clone(), text(body, "out_request_no"))) {
                return Err(repeated());
            }
            let plan_id = loop {
                let plan_id = (FIRST_ID + desk.created).to_string();
                desk.created += 1;
                if !plans.contains_key(&plan_id) {
                    break plan_id;
                }
            };
            let plan = Plan::new(plan_id.clone(), brand_id).with_state(PlanState::Created);
            let plan = with_fields(plan, body);
            let shown = desk.shown(&plan, false);
            plans.insert(plan_id, plan);
            Ok(changed(&json!({ "plan": shown })))
        })
    }

    /// The codes for a plan that does not exist, has ended, or reuses its coupon's settings are this gateway's choice.
    fn update_plan(&self, plan_id: &str, body: &Value) -> Result<RawResponse, RawResponse> {
        self.with_desk(|plans, desk| {
            let Some(plan) = plans.get_mut(plan_id) else {
                return Err(RawResponse::error(404, "RESOURCE_NOT_EXISTS", "投放计划不存在"));
            };
            let current = plan.to_json();
            plan_rules::check(plan_rules::UPDATE, body, 0, Some(&current))?;
            if plan.state.is_final() {
                return Err(RawResponse::error(400, "INVALID_REQUEST", "投放计划已结束"));
            }
            if current.get("reuse_coupon_config") == Some(&true.into()) {
                let message = "复用商品券配置的投放计划不支持修改";
                return Err(RawResponse::error(400, "INVALID_REQUEST", message));
            }
            let number = (plan.brand_id.clone(), text(body, "out_request_no"));
            if !desk.request_numbers.insert(number) {
                return Err(repeated());
            }
            for (name, value) in body["modify_content"].as_object().into_iter().flatten() {
                if FIELDS.contains(&name.as_str()) {
                    *plan = plan.clone().with_field(name, value.clone());
                }
            }
            Ok(changed(&json!({ "plan": desk.shown(plan, false) })))
        })
    }

    fn set_notify_url(&self, sp_mchid: &str, body: &Value) -> Result<RawResponse, RawResponse> {
        plan_rules::check(plan_rules::NOTIFY_URL, body, 0, None)?;
        if sp_mchid != self.mchid().as_str() {
            return Err(param_error("sp_mchid", &sp_mchid.into(), "not the caller's (4016184598)"));
        }
        let notify_url = text(body, "notify_url");
        self.with_desk(|_, desk| desk.notify_url = Some(notify_url.clone()));
        Ok(changed(&json!({ "notify_url": notify_url })))
    }

    fn authorities(&self, brand_id: &str) -> RawResponse {
        let is_withdrawn = self.with_desk(|_, desk| desk.withdrawn.contains(brand_id));
        let products: &[&str] = if is_withdrawn {
            &["BRAND_PRODUCT_AUTHORITY_MERCHANT_CARD"]
        } else {
            &["BRAND_PRODUCT_AUTHORITY_PRODUCT_COUPON", "BRAND_PRODUCT_AUTHORITY_SHAKE_COUPON"]
        };
        let body = json!({
            "brand_id": brand_id,
            "authorization_type": "AUTHORIZATION_TYPE_PARTLY",
            "authorization_product": products,
            "update_time": "2025-05-20T13:29:35+08:00",
        });
        RawResponse::json(200, &body)
    }
}

/// Copies the fields of a request into a plan. What is not set in a plan with its own settings is not shown.
fn with_fields(plan: Plan, body: &Value) -> Plan {
    let is_reused = body["reuse_coupon_config"] == true;
    FIELDS.into_iter().fold(plan, |plan, name| match body.get(name) {
        Some(value) if !value.is_null() => plan.with_field(name, value.clone()),
        _ if matches!(name, "stock_id" | "stock_bundle_id" | "recommend_word") => {
            plan.with_field(name, Value::Null)
        }
        _ if !is_reused && matches!(name, "user_limit" | "daily_limit") => {
            plan.with_field(name, Value::Null)
        }
        _ => plan,
    })
}

fn parsed(body: &[u8]) -> Result<Value, RawResponse> {
    let parsed = serde_json::from_slice::<Value>(body).ok().filter(Value::is_object);
    parsed.ok_or_else(|| param_error("", &Value::Null, "the body is not a JSON object"))
}

fn text(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_default().to_owned()
}

fn changed(body: &Value) -> RawResponse {
    RawResponse { executed: true, ..RawResponse::json(200, body) }
}

/// What a repeated number is answered with is not documented; a sibling (4016280622) has this code.
fn repeated() -> RawResponse {
    RawResponse::error(400, "ALREADY_EXISTS", "请求单号已存在")
}
