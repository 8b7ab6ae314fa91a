//! Creates a plan.

use serde::Serialize;
use wxpay_auth::{BrandId, DateTime, Timestamp};
use wxpay_transport::{RateLimit, Replay, Request, Target, Transport};

use crate::delivery_plans::{DeliveryPlans, PATH};
use crate::error::Error;
use crate::input_error::InputError;
use crate::plan::Plan;
use crate::response_check::{PlanResponse, is_of, plan_of};
use crate::rules::{self, page};
use crate::usage_mode::UsageMode;

/// A plan to be created (创建投放计划).
///
/// It is checked before it is sent. What depends on the coupon's stock is not: the plan begins later than the stock,
/// its counts and limits are at most those of the stock, and it ends at the latest at `available_end_time` −
/// `wait_days_after_receive` − `available_days` − 1 day.
///
/// # What is not known
/// - `plan_name`: whether consumers see it (see [`Plan::plan_name`]). Its length is 36 bytes, 12 Chinese characters, on
///   this page; the console allows 11 Chinese or 22 Latin characters (4016111064).
/// - `recommend_word`: `string(27)` and "9 Chinese or 18 Latin characters" on this page; the console offers nine
///   fixed labels. 27 bytes are checked.
/// - Without `reuse_coupon_config`, this page calls the limits and times required, and, field by field, optional:
///   without a limit there is none, without times those of the stock apply, and neither can be added later. They are
///   sent if they are set.
/// - Values of your own together with `reuse_coupon_config`: not documented. They are sent if they are set.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184554>
///
/// ```
/// use wxpay_auth::{BrandId, Timestamp};
/// use wxpay_marketing::CreatePlan;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let plan = CreatePlan::new("req-0001-70001", BrandId::new("70001")?, "7000000001", false)
///     .stock_id("7000000002")
///     .plan_name("样例计划")
///     .total_count(12_000)
///     .user_limit(2)
///     .daily_limit(500)
///     .delivery_time("2027-01-01T00:00:00+08:00".parse()?, "2027-01-31T00:00:00+08:00".parse()?);
/// plan.check(Timestamp::from_unix_secs(1_790_000_000))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CreatePlan {
    out_request_no: String,
    brand_id: BrandId,
    product_coupon_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stock_id: Option<String>,
    reuse_coupon_config: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    daily_limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_start_time: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_end_time: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recommend_word: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_mode: Option<UsageMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stock_bundle_id: Option<String>,
}

impl CreatePlan {
    /// Creates a request of a brand for a coupon. `out_request_no` is a number of yours, unique for the brand: 6 to 40
    /// characters of `[0-9A-Za-z_-]`. With `reuse_coupon_config`, name, counts and times are those of the coupon and its
    /// stock.
    pub fn new(
        out_request_no: impl Into<String>,
        brand_id: BrandId,
        product_coupon_id: impl Into<String>,
        reuse_coupon_config: bool,
    ) -> Self {
        Self {
            out_request_no: out_request_no.into(),
            brand_id,
            product_coupon_id: product_coupon_id.into(),
            stock_id: None,
            reuse_coupon_config,
            plan_name: None,
            total_count: None,
            user_limit: None,
            daily_limit: None,
            delivery_start_time: None,
            delivery_end_time: None,
            recommend_word: None,
            usage_mode: None,
            stock_bundle_id: None,
        }
    }

    /// Sets the stock (批次ID), which is required with [`UsageMode::Single`].
    #[must_use]
    pub fn stock_id(mut self, stock_id: impl Into<String>) -> Self {
        self.stock_id = Some(stock_id.into());
        self
    }

    /// Sets the group of stocks (批次组ID), which is required with [`UsageMode::ProgressiveBundle`].
    #[must_use]
    pub fn stock_bundle_id(mut self, stock_bundle_id: impl Into<String>) -> Self {
        self.stock_bundle_id = Some(stock_bundle_id.into());
        self
    }

    /// Sets how often a consumer uses the coupon (使用模式). The default is [`UsageMode::Single`].
    #[must_use]
    pub fn usage_mode(mut self, usage_mode: UsageMode) -> Self {
        self.usage_mode = Some(usage_mode);
        self
    }

    /// Sets the name (投放计划名称): at most 36 bytes, 12 Chinese characters.
    #[must_use]
    pub fn plan_name(mut self, plan_name: impl Into<String>) -> Self {
        self.plan_name = Some(plan_name.into());
        self
    }

    /// Sets how many coupons the plan delivers in all (投放总库存数量): at least 10,000.
    #[must_use]
    pub fn total_count(mut self, total_count: i64) -> Self {
        self.total_count = Some(total_count);
        self
    }

    /// Sets how many coupons a user may take (单用户限领).
    #[must_use]
    pub fn user_limit(mut self, user_limit: i64) -> Self {
        self.user_limit = Some(user_limit);
        self
    }

    /// Sets how many coupons may be taken in a day (单日限领).
    #[must_use]
    pub fn daily_limit(mut self, daily_limit: i64) -> Self {
        self.daily_limit = Some(daily_limit);
        self
    }

    /// Sets start and end (投放开始时间, 投放结束时间). It starts later than now, and lasts at least five days.
    #[must_use]
    pub fn delivery_time(self, start: DateTime, end: DateTime) -> Self {
        self.delivery_start_time(start).delivery_end_time(end)
    }

    /// Sets the start (投放开始时间), which is later than now.
    #[must_use]
    pub fn delivery_start_time(mut self, start: DateTime) -> Self {
        self.delivery_start_time = Some(start);
        self
    }

    /// Sets the end (投放结束时间), which is at least five days after the start; without a start, later than now.
    #[must_use]
    pub fn delivery_end_time(mut self, end: DateTime) -> Self {
        self.delivery_end_time = Some(end);
        self
    }

    /// Sets the label on the coupon (营销标签): at most 27 bytes, 9 Chinese characters.
    #[must_use]
    pub fn recommend_word(mut self, recommend_word: impl Into<String>) -> Self {
        self.recommend_word = Some(recommend_word.into());
        self
    }

    /// Checks the documented rules, as [`DeliveryPlans::create`] does before it sends.
    ///
    /// # Errors
    /// [`InputError`]: the first field that breaks a rule.
    pub fn check(&self, now: Timestamp) -> Result<(), InputError> {
        rules::out_request_no(&self.out_request_no, page::CREATE)?;
        rules::id("product_coupon_id", &self.product_coupon_id, Some(40), page::CREATE)?;
        self.check_stock()?;
        if !self.reuse_coupon_config {
            const WHEN: &str = "without reuse_coupon_config";
            rules::required("plan_name", self.plan_name.as_ref(), WHEN, page::CREATE)?;
            rules::required("total_count", self.total_count.as_ref(), WHEN, page::CREATE)?;
        }
        rules::text("plan_name", self.plan_name.as_deref(), 36, page::CREATE)?;
        if let Some(total_count) = self.total_count {
            rules::range("total_count", total_count, 10_000, None, page::CONSOLE)?;
        }
        let (start, end) = (self.delivery_start_time.as_ref(), self.delivery_end_time.as_ref());
        rules::times(start, end, now)?;
        rules::text("recommend_word", self.recommend_word.as_deref(), 27, page::CREATE)
    }

    /// Checks that there is the stock that goes with the usage mode, and no other one. What goes with an undocumented
    /// mode is not known.
    fn check_stock(&self) -> Result<(), InputError> {
        const SINGLE: &str = "with usage_mode SINGLE";
        const BUNDLE: &str = "with usage_mode PROGRESSIVE_BUNDLE";
        let (stock_id, bundle_id) = (self.stock_id.as_ref(), self.stock_bundle_id.as_ref());
        match self.usage_mode {
            None | Some(UsageMode::Single) => {
                rules::required("stock_id", stock_id, SINGLE, page::CREATE)?;
                rules::absent("stock_bundle_id", bundle_id, SINGLE, page::CREATE)?;
            }
            Some(UsageMode::ProgressiveBundle) => {
                rules::required("stock_bundle_id", bundle_id, BUNDLE, page::CREATE)?;
                rules::absent("stock_id", stock_id, BUNDLE, page::CREATE)?;
            }
            Some(_) => {}
        }
        if let Some(stock_id) = stock_id {
            rules::id("stock_id", stock_id, Some(40), page::CREATE)?;
        }
        match bundle_id {
            // The pages about plans give no length.
            Some(bundle_id) => rules::id("stock_bundle_id", bundle_id, None, page::CREATE),
            None => Ok(()),
        }
    }
}

impl<T: Transport> DeliveryPlans<T> {
    /// Creates a delivery plan (创建投放计划), and returns it. Its audit follows.
    ///
    /// `POST /v3/marketing/partner/delivery-plan/delivery-plans`, 100 calls per second and `mchid`.
    ///
    /// # No automatic repetition
    /// Its replay class is [`Replay::Never`]: what a repeated `out_request_no` answers is not documented. After an
    /// unknown outcome, list the brand's plans and look for the new one before you send anything again; a repetition
    /// with the same `out_request_no` should not create a second plan, since the number is unique for the brand.
    ///
    /// # Errors
    /// [`Error::Input`] if a documented rule is broken; nothing was sent then. [`Error::Transport`], where 403
    /// `NO_AUTH` means that an authorisation of the brand is missing
    /// ([`product_authorities`](Self::product_authorities)). [`Error::Body`] and [`Error::ForeignResponse`] if the response
    /// is not the documented one: the plan may have been created.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184554>
    pub async fn create(&self, plan: &CreatePlan) -> Result<Plan, Error> {
        const OPERATION: &str = "delivery_plans.create";
        plan.check(self.now())?;
        let brand_id = plan.brand_id.to_string();
        let request = Request::post(OPERATION, Target::new(PATH)?)
            .with_json(plan)?
            .with_replay(Replay::Never)
            .with_rate_limit(RateLimit::per_second(100))
            .recognised_by(move |body| is_of(body, "brand_id", &brand_id));
        let response = self.ok(OPERATION, request).await?;
        plan_of(OPERATION, response.json::<PlanResponse>()?, Some(&plan.brand_id), None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::input_error::InputFault;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_798_732_799);

    fn at(text: &str) -> DateTime {
        text.parse().unwrap()
    }

    fn own() -> CreatePlan {
        CreatePlan::new("req-0001-70001", BrandId::new("70001").unwrap(), "7001", false)
            .stock_id("7002")
            .plan_name("样例计划")
            .total_count(12_000)
            .user_limit(2)
            .daily_limit(500)
            .delivery_time(at("2027-01-01T00:00:00+08:00"), at("2027-01-31T00:00:00+08:00"))
            .recommend_word("样例标签")
    }

    fn reused() -> CreatePlan {
        CreatePlan::new("req-01", BrandId::new("70001").unwrap(), "7001", true).stock_id("7002")
    }

    #[test]
    fn the_body_has_the_official_names() {
        let body = serde_json::to_string(&own()).unwrap();
        let official = concat!(
            r#"{"out_request_no":"req-0001-70001","brand_id":"70001","product_coupon_id":"7001","#,
            r#""stock_id":"7002","reuse_coupon_config":false,"plan_name":"样例计划","#,
            r#""total_count":12000,"user_limit":2,"daily_limit":500,"#,
            r#""delivery_start_time":"2027-01-01T00:00:00+08:00","#,
            r#""delivery_end_time":"2027-01-31T00:00:00+08:00","recommend_word":"样例标签"}"#,
        );
        assert_eq!(body, official);
        let bundle = CreatePlan { stock_id: None, ..reused() };
        let bundle = bundle.usage_mode(UsageMode::ProgressiveBundle).stock_bundle_id("7003");
        assert_eq!(
            serde_json::to_value(&bundle).unwrap(),
            json!({
                "out_request_no": "req-01", "brand_id": "70001", "product_coupon_id": "7001",
                "reuse_coupon_config": true, "usage_mode": "PROGRESSIVE_BUNDLE",
                "stock_bundle_id": "7003",
            })
        );
        assert_eq!(bundle.check(NOW), Ok(()));
    }

    /// Each case breaks one rule.
    #[test]
    fn each_documented_rule_is_checked() {
        let bundle =
            || CreatePlan { stock_id: None, ..own() }.usage_mode(UsageMode::ProgressiveBundle);
        let wrong: Vec<(CreatePlan, &str, &str)> = vec![
            (
                CreatePlan { out_request_no: "req01".into(), ..own() },
                "out_request_no",
                "has 5 characters",
            ),
            (
                CreatePlan { product_coupon_id: String::new(), ..own() },
                "product_coupon_id",
                "is empty",
            ),
            (
                CreatePlan { product_coupon_id: "7".repeat(41), ..own() },
                "product_coupon_id",
                "at most 40",
            ),
            (CreatePlan { stock_id: None, ..own() }, "stock_id", "with usage_mode SINGLE"),
            (
                CreatePlan { stock_id: None, ..own() }.usage_mode(UsageMode::Single),
                "stock_id",
                "with usage_mode SINGLE",
            ),
            (own().stock_id(""), "stock_id", "is empty"),
            (own().stock_id("7".repeat(41)), "stock_id", "at most 40"),
            (
                own().stock_bundle_id("7003"),
                "stock_bundle_id",
                "not allowed with usage_mode SINGLE",
            ),
            (bundle(), "stock_bundle_id", "required with usage_mode PROGRESSIVE_BUNDLE"),
            (bundle().stock_bundle_id(""), "stock_bundle_id", "is empty"),
            (
                bundle().stock_bundle_id("7003").stock_id("7002"),
                "stock_id",
                "not allowed with usage_mode PROGRESSIVE_BUNDLE",
            ),
            (CreatePlan { plan_name: None, ..own() }, "plan_name", "without reuse_coupon_config"),
            (own().plan_name(""), "plan_name", "is empty"),
            (own().plan_name("一二三四五六七八九十一二x"), "plan_name", "has 37 bytes, at most 36"),
            (
                CreatePlan { total_count: None, ..own() },
                "total_count",
                "without reuse_coupon_config",
            ),
            (own().total_count(9_999), "total_count", "is 9999, at least 10000"),
            (own().recommend_word(""), "recommend_word", "is empty"),
            (
                own().recommend_word("一二三四五六七八九x"),
                "recommend_word",
                "has 28 bytes, at most 27",
            ),
            (
                own().delivery_start_time(at("2026-12-31T23:59:59+08:00")),
                "delivery_start_time",
                "later than now",
            ),
            (
                own().delivery_end_time(at("2027-01-01T00:00:00+08:00")),
                "delivery_end_time",
                "later than delivery_start_time (2027-01-01T00:00:00+08:00)",
            ),
            (
                CreatePlan { delivery_start_time: None, ..own() }
                    .delivery_end_time(at("2026-12-31T23:59:59+08:00")),
                "delivery_end_time",
                "later than now",
            ),
            (
                own().delivery_end_time(at("2027-01-05T23:59:59+08:00")),
                "delivery_end_time",
                "by at least 5 days",
            ),
        ];
        for (plan, field, text) in wrong {
            let error = plan.check(NOW).expect_err(text);
            assert_eq!(error.field(), field, "{error}");
            assert!(error.to_string().contains(text), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_at_a_limit_is_allowed() {
        for plan in [
            own(),
            reused(),
            own().usage_mode(UsageMode::Single),
            own().plan_name("一二三四五六七八九十一二"),
            own().plan_name("x".repeat(36)),
            own().recommend_word("一二三四五六七八九"),
            own().total_count(10_000),
            own().total_count(9_000_000_000),
            own().delivery_end_time(at("2027-01-06T00:00:00+08:00")),
            CreatePlan { out_request_no: "9".repeat(40), ..own() },
            CreatePlan { product_coupon_id: "7".repeat(40), ..own() }.stock_id("7".repeat(40)),
        ] {
            assert_eq!(plan.check(NOW), Ok(()), "{plan:?}");
        }
    }

    /// The page contradicts itself, or says nothing: none of these may become an error.
    #[test]
    fn what_is_not_known_is_not_refused() {
        let open = CreatePlan { user_limit: None, daily_limit: None, ..own() };
        for plan in [
            CreatePlan { delivery_start_time: None, delivery_end_time: None, ..open.clone() },
            CreatePlan { delivery_start_time: None, ..own() },
            CreatePlan { delivery_end_time: None, ..own() },
            open,
            reused().plan_name("x").total_count(10_000).user_limit(1),
            CreatePlan { stock_id: None, ..own() }
                .usage_mode(UsageMode::ProgressiveBundle)
                .stock_bundle_id("7".repeat(60)),
            CreatePlan { stock_id: None, ..own() }.usage_mode(UsageMode::from("OTHER")),
            own().usage_mode(UsageMode::from("OTHER")).stock_bundle_id("7003"),
        ] {
            assert_eq!(plan.check(NOW), Ok(()), "{plan:?}");
        }
    }

    #[test]
    fn an_error_names_the_page_of_its_rule() {
        let error = own().total_count(1).check(NOW).unwrap_err();
        let range = InputFault::OutOfRange { found: 1, least: 10_000, most: None };
        assert_eq!((error.fault(), error.page().ends_with("/4016111064")), (&range, true));
    }
}
