//! Delivery plans as WeChat Pay describes them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wxpay_auth::{BrandId, DateTime};

use crate::plan_id::PlanId;
use crate::plan_state::PlanState;
use crate::usage_mode::UsageMode;

/// A delivery plan (投放计划), as creating, updating and listing it return it.
///
/// A field is an `Option` if the official pages contradict each other on whether it is there. It has no audit state,
/// and no time of its creation or last change.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184554>
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    /// The id (投放计划ID). `string(32)` here, `string(40)` in the notification.
    pub plan_id: PlanId,
    /// The name (投放计划名称). Whether consumers see it is not known: the page about creating a plan says so
    /// (4016184554), the page about updating one says that it is for internal use only (4016184594).
    pub plan_name: String,
    /// The state (投放计划状态).
    pub plan_state: PlanState,
    /// The start (投放开始时间).
    pub delivery_start_time: DateTime,
    /// The end (投放结束时间).
    pub delivery_end_time: DateTime,
    /// The product coupon that is delivered (商品券ID). Deactivating it ends all its plans.
    pub product_coupon_id: String,
    /// How often a consumer uses the coupon (使用模式). Responses of 2025 do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_mode: Option<UsageMode>,
    /// The stock that is delivered (批次ID). By the table it is there only with [`UsageMode::Single`], but the official
    /// sample has it together with `stock_bundle_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock_id: Option<String>,
    /// The group of stocks that is delivered (批次组ID). By the table it is there only with
    /// [`UsageMode::ProgressiveBundle`], but the official sample has it together with `stock_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock_bundle_id: Option<String>,
    /// The label on the coupon (营销标签). It is absent if it was not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommend_word: Option<String>,
    /// The brand (品牌ID).
    pub brand_id: BrandId,
    /// How many coupons the plan delivers in all (投放总库存数量).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_count: Option<i64>,
    /// How many coupons a user may take (单用户限领). The table says that it is always there, the text beside it that it
    /// is optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_limit: Option<i64>,
    /// How many coupons may be taken in a day (单日限领). Optional like `user_limit`. What it counts is not known: all
    /// coupons of a day (4016184554), or those of one user in a day (4016184594).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_limit: Option<i64>,
    /// Whether name, counts, limits and times are those of the coupon and its stock (是否复用商品券和批次信息). Some
    /// responses do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse_coupon_config: Option<bool>,
    /// Other fields, as received. The documentation has none.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Plan {
    /// Returns whether both plans deliver the same stock, or the same group of stocks.
    pub fn shares_stock_with(&self, other: &Self) -> bool {
        let same = |one: &Option<String>, other: &Option<String>| {
            one.as_deref().is_some_and(|id| !id.is_empty() && other.as_deref() == Some(id))
        };
        same(&self.stock_id, &other.stock_id) || same(&self.stock_bundle_id, &other.stock_bundle_id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(stock_id: Option<&str>, stock_bundle_id: Option<&str>) -> Plan {
        serde_json::from_value(json!({
            "plan_id": "50001", "plan_name": "x", "plan_state": "CREATED", "brand_id": "70001",
            "delivery_start_time": "2027-01-01T00:00:00+08:00",
            "delivery_end_time": "2027-01-31T00:00:00+08:00",
            "product_coupon_id": "7", "stock_id": stock_id, "stock_bundle_id": stock_bundle_id,
        }))
        .unwrap()
    }

    #[test]
    fn plans_share_a_stock_or_a_group_of_stocks() {
        let one = plan(Some("1"), Some("2"));
        assert!(one.shares_stock_with(&plan(Some("1"), None)));
        assert!(one.shares_stock_with(&plan(None, Some("2"))));
        assert!(!one.shares_stock_with(&plan(Some("2"), Some("1"))));
        let none = plan(None, Some(""));
        assert!(!none.shares_stock_with(&none.clone()), "what is not there is not shared");
    }
}
