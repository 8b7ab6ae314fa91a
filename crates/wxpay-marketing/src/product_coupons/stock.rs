//! Stocks of product coupons.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wxpay_auth::{BrandId, DateTime};

use super::coupon::{DiscountCoupon, ExchangeCoupon, NormalCoupon};
use super::open_struct::open_struct;
use super::stock_state::StockState;

/// A stock of a product coupon (商品券批次): what a plan delivers. All but its ids may be missing: pages and samples
/// differ on what is there.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4015781542>
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stock {
    /// The product coupon (商品券ID).
    pub product_coupon_id: String,
    /// The id (批次ID).
    pub stock_id: String,
    /// The brand (品牌ID).
    pub brand_id: BrandId,
    /// What the merchant noted (备注).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// `WECHATPAY`, `UPLOAD` or `API_ASSIGN` (券code模式). Plans cannot deliver the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon_code_mode: Option<String>,
    /// Counts of uploaded codes (券code数量), with `UPLOAD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coupon_code_count_info: Option<CodeCounts>,
    /// How many coupons are handed out (发放规则). A plan's counts and limits are at most these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock_send_rule: Option<StockSendRule>,
    /// When and how the coupon is used (单券使用规则).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single_usage_rule: Option<UsageRule>,
    /// The same of a bundle (多次优惠使用规则).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progressive_bundle_usage_rule: Option<UsageRule>,
    /// Its group of stocks (批次组信息), of a bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock_bundle_info: Option<StockBundleInfo>,
    /// Which shops take it (适用门店范围): `NONE`, `ALL` or `SPECIFIC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_scope: Option<String>,
    /// How many coupons were handed out (已发放数量).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_count_info: Option<SentCounts>,
    /// The state (批次状态).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StockState>,
    /// The number of the request that deactivated it (失效请求单号).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivate_request_no: Option<String>,
    /// When it was deactivated (失效时间).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivate_time: Option<DateTime>,
    /// Why it was deactivated (失效原因).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivate_reason: Option<String>,
    /// Other fields, as received: also `usage_rule_display_info`, `coupon_display_info` and `notify_config`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

open_struct! {
    /// Counts of uploaded codes.
    pub struct CodeCounts {
        /// All (总数).
        total_count: i64,
        /// Those that are left (可用数).
        available_count: i64,
    }
}

open_struct! {
    /// How many coupons are handed out.
    pub struct StockSendRule {
        /// In all (总预算). A plan with `reuse_coupon_config` has it as its `total_count`.
        max_count: i64,
        /// In a day (每日预算); absent without such a limit.
        max_count_per_day: i64,
        /// To a user (每人限领).
        max_count_per_user: i64,
    }
}

open_struct! {
    /// When and how a coupon is used.
    pub struct UsageRule {
        /// When (可用时间).
        coupon_available_period: AvailablePeriod,
        /// An amount off, in fen.
        normal_coupon: NormalCoupon,
        /// A percentage off.
        discount_coupon: DiscountCoupon,
        /// Goods at a price, in fen.
        exchange_coupon: ExchangeCoupon,
    }
}

open_struct! {
    /// When a coupon is used.
    pub struct AvailablePeriod {
        /// From when on (开始时间). A plan starts later.
        available_begin_time: DateTime,
        /// Until when (结束时间). A plan ends at the latest at this time − `wait_days_after_receive` − `available_days` −
        /// 1 day.
        available_end_time: DateTime,
        /// For how many days (生效后N天内可用).
        available_days: i64,
        /// After how many days (领取后N天生效).
        wait_days_after_receive: i64,
        /// For how many seconds (可用秒数).
        available_seconds: i64,
        /// On which days of the week (每周可用时间段), as received. Its `begin_time` and `end_time` are seconds of the day.
        weekly_available_period: Value,
        /// Other periods (不规则可用时间段), as received. Their `begin_time` and `end_time` are times in RFC 3339.
        irregular_available_period_list: Vec<Value>,
    }
}

open_struct! {
    /// The place of a stock in its group.
    pub struct StockBundleInfo {
        /// The group (批次组ID).
        stock_bundle_id: String,
        /// The place, from 0 (顺序).
        stock_bundle_index: i64,
    }
}

open_struct! {
    /// How many coupons were handed out.
    pub struct SentCounts {
        /// In all (总数).
        total_count: i64,
        /// Today (今日).
        today_count: i64,
    }
}
