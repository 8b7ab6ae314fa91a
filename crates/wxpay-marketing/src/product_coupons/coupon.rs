//! Product coupons.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wxpay_auth::{BrandId, DateTime};

use super::coupon_state::CouponState;
use super::open_struct::open_struct;
use crate::usage_mode::UsageMode;

/// A product coupon (商品券). All but its ids may be missing: pages and samples differ on what is there.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4015781292>
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProductCoupon {
    /// The id (商品券ID).
    pub product_coupon_id: String,
    /// The brand (品牌ID).
    pub brand_id: BrandId,
    /// `ALL` (the whole shop) or `SINGLE` (some goods) (优惠范围).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// `NORMAL` (an amount off), `DISCOUNT` (a percentage off) or `EXCHANGE` (商品券类型).
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// How often a consumer uses it (使用模式).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_mode: Option<UsageMode>,
    /// Its discount, with [`UsageMode::Single`] and the scope `ALL` (单券模式信息).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single_usage_info: Option<Discount>,
    /// How many coupons there are, with [`UsageMode::ProgressiveBundle`] (多次优惠模式信息).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progressive_bundle_usage_info: Option<BundleInfo>,
    /// What consumers see (展示信息).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_info: Option<CouponDisplay>,
    /// The merchant's own number (商户侧商品券唯一标识).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_product_no: Option<String>,
    /// The state (商品券状态).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<CouponState>,
    /// The number of the request that deactivated it (失效请求单号).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivate_request_no: Option<String>,
    /// When it was deactivated (失效时间).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivate_time: Option<DateTime>,
    /// Why it was deactivated (失效原因).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deactivate_reason: Option<String>,
    /// Other fields, as received.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

open_struct! {
    /// A discount: one of its members. Amounts are in fen (分).
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4015781292>
    pub struct Discount {
        /// An amount off (满减券).
        normal_coupon: NormalCoupon,
        /// A percentage off (折扣券).
        discount_coupon: DiscountCoupon,
        /// Goods at a price (兑换券).
        exchange_coupon: ExchangeCoupon,
    }
}

open_struct! {
    /// An amount off.
    pub struct NormalCoupon {
        /// From which amount on, in fen (门槛).
        threshold: i64,
        /// The amount off, in fen (优惠金额).
        discount_amount: i64,
    }
}

open_struct! {
    /// A percentage off.
    pub struct DiscountCoupon {
        /// From which amount on, in fen (门槛).
        threshold: i64,
        /// The percentage off (折扣百分比).
        percent_off: i64,
    }
}

open_struct! {
    /// Goods at a price.
    pub struct ExchangeCoupon {
        /// From which amount on, in fen (门槛).
        threshold: i64,
        /// The price, in fen (兑换价).
        exchange_price: i64,
    }
}

open_struct! {
    /// How many coupons a bundle has.
    pub struct BundleInfo {
        /// The number of coupons (可使用次数).
        count: i64,
        /// How many days lie between two of them (间隔天数).
        interval_days: i64,
    }
}

open_struct! {
    /// What consumers see of a product coupon.
    pub struct CouponDisplay {
        /// The name (商品券名称). A plan with `reuse_coupon_config` has it as its `plan_name`.
        name: String,
        /// The picture (商品券图片).
        image_url: String,
        /// The picture behind it (背景图).
        background_url: String,
        /// Pictures of the details (详情图).
        detail_image_url_list: Vec<String>,
        /// The price without discount, in fen (原价).
        original_price: i64,
        /// The combinations to choose from (套餐组合), as received.
        combo_package_list: Vec<Value>,
    }
}
