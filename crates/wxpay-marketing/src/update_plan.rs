//! Updates a plan.

use serde::{Serialize, Serializer};
use wxpay_auth::DateTime;
use wxpay_transport::{RateLimit, Replay, Request, Transport};

use crate::delivery_plans::{DeliveryPlans, plan_target};
use crate::error::Error;
use crate::input_error::{InputError, InputFault};
use crate::plan::Plan;
use crate::plan_id::PlanId;
use crate::response_check::{PlanResponse, is_of, plan_of};
use crate::rules::{self, page};

/// Changes of a plan (更新投放计划): only what is set is sent.
///
/// The end can only move to a later time, and counts can only grow. A limit that the plan was created without cannot be
/// added, and a plan with `reuse_coupon_config` cannot be updated (4016402231). [`DeliveryPlans::update_checked`] checks
/// these rules against the plan, except that it leaves a limit that the plan does not show to WeChat Pay.
///
/// A plan that is `DELIVERING` keeps its old content until the audit of the new one has passed, and for good if it is
/// rejected (4016402231). While an audit runs, a plan cannot be updated (4016111064).
///
/// # What is not known
/// What `daily_limit` counts, and whether consumers see `plan_name`: see [`Plan::daily_limit`] and [`Plan::plan_name`].
/// Whether an answer always shows the limits of a plan.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184594>
#[derive(Debug, Clone, PartialEq)]
pub struct UpdatePlan {
    out_request_no: String,
    changes: Changes,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize)]
struct Changes {
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_end_time: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    daily_limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recommend_word: Option<String>,
}

impl UpdatePlan {
    /// Creates an update without changes. `out_request_no` is a number of yours, unique for the brand: 6 to 40
    /// characters of `[0-9A-Za-z_-]`.
    pub fn new(out_request_no: impl Into<String>) -> Self {
        Self { out_request_no: out_request_no.into(), changes: Changes::default() }
    }

    /// Changes the name (投放计划名称): at most 36 bytes, 12 Chinese characters.
    #[must_use]
    pub fn plan_name(mut self, plan_name: impl Into<String>) -> Self {
        self.changes.plan_name = Some(plan_name.into());
        self
    }

    /// Moves the end (投放结束时间) to a later time.
    #[must_use]
    pub fn delivery_end_time(mut self, end: DateTime) -> Self {
        self.changes.delivery_end_time = Some(end);
        self
    }

    /// Raises how many coupons the plan delivers in all (投放总库存数量).
    #[must_use]
    pub fn total_count(mut self, total_count: i64) -> Self {
        self.changes.total_count = Some(total_count);
        self
    }

    /// Raises how many coupons a user may take (单用户限领).
    #[must_use]
    pub fn user_limit(mut self, user_limit: i64) -> Self {
        self.changes.user_limit = Some(user_limit);
        self
    }

    /// Raises how many coupons may be taken in a day (单日限领).
    #[must_use]
    pub fn daily_limit(mut self, daily_limit: i64) -> Self {
        self.changes.daily_limit = Some(daily_limit);
        self
    }

    /// Changes the label on the coupon (营销标签): at most 27 bytes, 9 Chinese characters.
    #[must_use]
    pub fn recommend_word(mut self, recommend_word: impl Into<String>) -> Self {
        self.changes.recommend_word = Some(recommend_word.into());
        self
    }

    /// Checks the documented rules that do not depend on the plan, as [`DeliveryPlans::update`] does before it sends.
    ///
    /// # Errors
    /// [`InputError`]: the first field that breaks a rule.
    pub fn check(&self) -> Result<(), InputError> {
        rules::out_request_no(&self.out_request_no, page::UPDATE)?;
        if self.changes == Changes::default() {
            return Err(InputError::new("modify_content", InputFault::Empty, page::UPDATE));
        }
        let (name, word) = (&self.changes.plan_name, &self.changes.recommend_word);
        rules::text("modify_content.plan_name", name.as_deref(), 36, page::UPDATE)?;
        rules::text("modify_content.recommend_word", word.as_deref(), 27, page::UPDATE)
    }

    /// Checks all documented rules, as [`DeliveryPlans::update_checked`] does before it sends.
    ///
    /// # Errors
    /// [`InputError`]: the first field that breaks a rule; `plan_id` if the plan cannot be updated at all.
    pub fn check_against(&self, plan: &Plan) -> Result<(), InputError> {
        self.check()?;
        let not = |because| {
            let fault = InputFault::NotChangeable { because };
            Err(InputError::new("plan_id", fault, page::INTRODUCTION))
        };
        if plan.plan_state.is_final() {
            return not("it has ended");
        }
        if plan.reuse_coupon_config == Some(true) {
            return not("it reuses the settings of its coupon (reuse_coupon_config)");
        }
        let Changes { delivery_end_time, total_count, user_limit, daily_limit, .. } = &self.changes;
        rules::extended(
            "modify_content.delivery_end_time",
            delivery_end_time.as_ref(),
            &plan.delivery_end_time,
            page::UPDATE,
        )?;
        rules::grown("modify_content.total_count", *total_count, plan.total_count, page::UPDATE)?;
        for (field, found, current) in [
            ("modify_content.user_limit", user_limit, plan.user_limit),
            ("modify_content.daily_limit", daily_limit, plan.daily_limit),
        ] {
            rules::grown(field, *found, current, page::UPDATE)?;
        }
        Ok(())
    }
}

impl Serialize for UpdatePlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            modify_content: &'a Changes,
            out_request_no: &'a str,
        }
        let body = Body { modify_content: &self.changes, out_request_no: &self.out_request_no };
        body.serialize(serializer)
    }
}

impl<T: Transport> DeliveryPlans<T> {
    /// Updates a delivery plan (更新投放计划), and returns it. An audit follows.
    ///
    /// `PATCH /v3/marketing/partner/delivery-plan/delivery-plans/{plan_id}`, 100 calls per second and `mchid`. The call
    /// carries no `brand_id`: a wrong id changes another brand's plan. [`update_checked`](Self::update_checked) takes
    /// the plan itself.
    ///
    /// # No automatic repetition
    /// Its replay class is [`Replay::Never`]: what a repeated `out_request_no` answers is not documented. After an
    /// unknown outcome, read the plan ([`find`](Self::find)) before you send anything again. What a plan shows while
    /// its new content is in audit is the old content.
    ///
    /// # Errors
    /// [`Error::Input`] if a documented rule is broken; nothing was sent then. [`Error::Transport`].
    /// [`Error::Body`] and [`Error::ForeignResponse`] if the response is not the documented one: the plan may have been
    /// updated.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184594>
    pub async fn update(&self, plan_id: &PlanId, update: &UpdatePlan) -> Result<Plan, Error> {
        const OPERATION: &str = "delivery_plans.update";
        update.check()?;
        let expected = plan_id.to_string();
        let request = Request::patch(OPERATION, plan_target(plan_id)?)
            .with_json(update)?
            .with_replay(Replay::Never)
            .with_rate_limit(RateLimit::per_second(100))
            .recognised_by(move |body| is_of(body, "plan_id", &expected));
        let response = self.ok(OPERATION, request).await?;
        plan_of(OPERATION, response.json::<PlanResponse>()?, None, Some(plan_id))
    }

    /// Updates a delivery plan, after checking the changes against what it is now. See [`update`](Self::update).
    ///
    /// The plan is one that [`find`](Self::find) or a list has just returned: an old one may have grown since.
    ///
    /// # Errors
    /// Those of [`update`](Self::update); [`Error::Input`] also if the end or a count does not grow, if the plan reuses
    /// the settings of its coupon, or has ended.
    pub async fn update_checked(&self, plan: &Plan, update: &UpdatePlan) -> Result<Plan, Error> {
        update.check_against(plan)?;
        self.update(&plan.plan_id, update).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> DateTime {
        text.parse().unwrap()
    }

    fn plan(more: serde_json::Value) -> Plan {
        let mut plan = json!({
            "plan_id": "50001", "plan_name": "样例计划", "plan_state": "DELIVERING",
            "delivery_start_time": "2027-01-01T00:00:00+08:00",
            "delivery_end_time": "2027-01-31T00:00:00+08:00",
            "product_coupon_id": "7000000001", "usage_mode": "SINGLE", "stock_id": "700000001",
            "brand_id": "70001", "total_count": 12_000, "user_limit": 2, "daily_limit": 500,
            "reuse_coupon_config": false,
        });
        let serde_json::Value::Object(more) = more else { panic!("an object") };
        plan.as_object_mut().unwrap().extend(more);
        serde_json::from_value(plan).unwrap()
    }

    fn update() -> UpdatePlan {
        UpdatePlan::new("req-0002-70001")
    }

    #[test]
    fn the_body_has_the_official_names() {
        let all = update()
            .plan_name("样例计划二")
            .delivery_end_time(at("2027-02-28T00:00:00+08:00"))
            .total_count(13_000)
            .user_limit(3)
            .daily_limit(600)
            .recommend_word("样例标签");
        let official = concat!(
            r#"{"modify_content":{"plan_name":"样例计划二","#,
            r#""delivery_end_time":"2027-02-28T00:00:00+08:00","total_count":13000,"#,
            r#""user_limit":3,"daily_limit":600,"recommend_word":"样例标签"},"#,
            r#""out_request_no":"req-0002-70001"}"#,
        );
        assert_eq!(serde_json::to_string(&all).unwrap(), official);
        assert_eq!(all.check_against(&plan(json!({}))), Ok(()));
    }

    #[test]
    fn each_documented_rule_is_checked() {
        let same = plan(json!({}));
        let wrong = [
            (UpdatePlan::new("req 02").user_limit(3), "out_request_no", "at position 3"),
            (update(), "modify_content", "is empty"),
            (update().plan_name(""), "modify_content.plan_name", "is empty"),
            (update().plan_name("x".repeat(37)), "modify_content.plan_name", "at most 36"),
            (
                update().recommend_word("x".repeat(28)),
                "modify_content.recommend_word",
                "at most 27",
            ),
        ];
        for (update, field, text) in wrong {
            for error in [update.check().unwrap_err(), update.check_against(&same).unwrap_err()] {
                assert_eq!(error.field(), field, "{error}");
                assert!(error.to_string().contains(text), "{error}");
            }
        }
        let end = "2027-01-31T00:00:00+08:00";
        for (update, field, text) in [
            (
                update().delivery_end_time(at(end)),
                "modify_content.delivery_end_time",
                "later than that of the plan",
            ),
            (
                update().delivery_end_time(at("2027-01-30T15:59:59Z")),
                "modify_content.delivery_end_time",
                "later than that of the plan",
            ),
            (update().total_count(12_000), "modify_content.total_count", "the plan has 12000"),
            (update().user_limit(1), "modify_content.user_limit", "the plan has 2"),
            (update().daily_limit(500), "modify_content.daily_limit", "the plan has 500"),
        ] {
            assert_eq!(update.check(), Ok(()), "without the plan it cannot be known");
            let error = update.check_against(&same).unwrap_err();
            assert_eq!(error.field(), field, "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn a_plan_that_has_ended_or_reuses_its_coupon_cannot_be_updated() {
        for more in [
            json!({"plan_state": "EXPIRED"}),
            json!({"plan_state": "PLAN_TERMINATED"}),
            json!({"reuse_coupon_config": true}),
        ] {
            let error = update().user_limit(9).check_against(&plan(more)).unwrap_err();
            assert_eq!(error.field(), "plan_id", "{error}");
            assert!(error.page().ends_with("4016402231"));
        }
        for more in [json!({"reuse_coupon_config": null}), json!({"plan_state": "RESTING"})] {
            assert_eq!(update().user_limit(9).check_against(&plan(more)), Ok(()));
        }
    }
}
