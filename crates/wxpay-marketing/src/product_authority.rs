//! What a brand authorises a service provider to use.

use crate::open_enum::open_enum;

open_enum! {
    /// A product that a brand authorises a service provider to use (授权产品权限, `authorization_product`). Delivery plans
    /// need [`ShakeCoupon`](Self::ShakeCoupon) and [`ProductCoupon`](Self::ProductCoupon).
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4017410365>
    pub enum ProductAuthority {
        /// `BRAND_PRODUCT_AUTHORITY_MERCHANT_CARD` (商家名片).
        MerchantCard = "BRAND_PRODUCT_AUTHORITY_MERCHANT_CARD",
        /// `BRAND_PRODUCT_AUTHORITY_CARD_LINK` (交易连接名片).
        CardLink = "BRAND_PRODUCT_AUTHORITY_CARD_LINK",
        /// `BRAND_PRODUCT_AUTHORITY_PRODUCT_COUPON` (商品券).
        ProductCoupon = "BRAND_PRODUCT_AUTHORITY_PRODUCT_COUPON",
        /// `BRAND_PRODUCT_AUTHORITY_SHAKE_COUPON` (摇优惠).
        ShakeCoupon = "BRAND_PRODUCT_AUTHORITY_SHAKE_COUPON",
        /// `BRAND_PRODUCT_AUTHORITY_BRAND_PAY_GIFT` (品牌支付有礼).
        BrandPayGift = "BRAND_PRODUCT_AUTHORITY_BRAND_PAY_GIFT",
        /// `BRAND_PRODUCT_AUTHORITY_BRAND_STORE` (品牌门店).
        BrandStore = "BRAND_PRODUCT_AUTHORITY_BRAND_STORE",
        /// `BRAND_PRODUCT_AUTHORITY_PAYMENT_MERCHANT_MANAGE` (收款商户号管理).
        PaymentMerchantManage = "BRAND_PRODUCT_AUTHORITY_PAYMENT_MERCHANT_MANAGE",
        /// `BRAND_PRODUCT_AUTHORITY_APPID_MANAGE` (下单 `AppID` 管理).
        AppidManage = "BRAND_PRODUCT_AUTHORITY_APPID_MANAGE",
        /// `BRAND_PRODUCT_AUTHORITY_FINDER_MANAGE` (视频号管理).
        FinderManage = "BRAND_PRODUCT_AUTHORITY_FINDER_MANAGE",
        /// `BRAND_PRODUCT_AUTHORITY_CATEGORY_MANAGE` (品类管理).
        CategoryManage = "BRAND_PRODUCT_AUTHORITY_CATEGORY_MANAGE",
    }
}
