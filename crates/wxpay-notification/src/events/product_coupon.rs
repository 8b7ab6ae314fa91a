//! Product coupons.

use std::fmt;

use serde::Deserialize;
use wxpay_auth::DateTime;

/// A user has received a product coupon (商品券). The service provider has to confirm the sending, or it stays
/// `CONFIRMING`. Of a bundle, the next coupon is notified of after the use of the one before.
///
/// `Debug` shows nothing that names the user.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4015780862>
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct CouponSent {
    /// The user's coupon.
    pub coupon_code: String,
    /// The brand.
    pub brand_id: String,
    /// The product coupon.
    pub product_coupon_id: String,
    /// The stock.
    pub stock_id: String,
    /// The bundle of stocks. Only with the usage mode `PROGRESSIVE_BUNDLE`.
    #[serde(default)]
    pub stock_bundle_id: Option<String>,
    /// The user's bundle. Only with the usage mode `PROGRESSIVE_BUNDLE`.
    #[serde(default)]
    pub user_coupon_bundle_id: Option<String>,
    /// The `notify_appid` of the stock.
    #[serde(default)]
    pub appid: Option<String>,
    /// The user, under that appid. Personal data.
    #[serde(default)]
    pub openid: Option<String>,
    /// The user, under the open platform account. Personal data.
    #[serde(default)]
    pub unionid: Option<String>,
    /// When the user received it.
    #[serde(default)]
    pub receive_time: Option<DateTime>,
    /// From when on it can be used.
    #[serde(default)]
    pub valid_begin_time: Option<DateTime>,
    /// Until when it can be used.
    #[serde(default)]
    pub valid_end_time: Option<DateTime>,
    /// The request number of the sending.
    #[serde(default)]
    pub send_request_no: Option<String>,
    /// How it was sent: `BRAND_MANAGE` (delivery plans), `API`, `RECEIVE_COMPONENT`, or another way.
    #[serde(default)]
    pub send_channel: Option<String>,
    /// The user's telephone number, with the user's consent. Personal data.
    #[serde(default)]
    pub phone_number: Option<String>,
    /// The country of the number, without `+`.
    #[serde(default)]
    pub country_code: Option<String>,
    /// What the sender attached. Only for `API` and `RECEIVE_COMPONENT`.
    #[serde(default)]
    pub attach: Option<String>,
    /// What the brand set. Only for `BRAND_MANAGE`.
    #[serde(default)]
    pub channel_custom_info: Option<String>,
}

impl fmt::Debug for CouponSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CouponSent")
            .field("brand_id", &self.brand_id)
            .field("product_coupon_id", &self.product_coupon_id)
            .field("stock_id", &self.stock_id)
            .field("send_request_no", &self.send_request_no)
            .field("send_channel", &self.send_channel)
            .finish_non_exhaustive()
    }
}

/// An image of a product coupon was generated, or could not be.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4017327744>
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct CouponImageGenerated {
    /// The task.
    pub task_id: String,
    /// The brand.
    pub brand_id: String,
    /// What was generated: `COMBINE_IMAGE`, `CUT_OUT`, or something else.
    pub image_generation_type: String,
    /// `SUCCESS`, `FAIL`, `PROCESSING`, or another state.
    pub task_state: String,
    /// The combined image, if that was generated.
    #[serde(default)]
    pub combine_image_result: Option<CouponImage>,
    /// The cut-out, if that was generated.
    #[serde(default)]
    pub cut_out_result: Option<CouponImage>,
}

/// A generated image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct CouponImage {
    /// Its address.
    #[serde(default)]
    pub image_url: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coupon_is_read_and_its_user_is_not_shown() {
        let json = r#"{"coupon_code":"Code_1","brand_id":"1004","product_coupon_id":"200","stock_id":"300",
            "appid":"wx0001","openid":"o-user","unionid":"u-user","receive_time":"2027-01-02T03:04:05.120+08:00",
            "send_request_no":"r-1","send_channel":"MEMBER","phone_number":"13800000000","country_code":"86"}"#;
        let coupon: CouponSent = serde_json::from_str(json).unwrap();
        assert_eq!(coupon.send_channel.as_deref(), Some("MEMBER"));
        assert_eq!(coupon.receive_time.as_ref().unwrap().nanosecond(), 120_000_000);
        let shown = format!("{coupon:?}");
        for personal in ["Code_1", "o-user", "u-user", "138"] {
            assert!(!shown.contains(personal), "{shown}");
        }
        assert!(shown.contains("1004"), "{shown}");
    }

    #[test]
    fn an_image_is_read() {
        let json = r#"{"task_id":"t-0001","brand_id":"1004","image_generation_type":"CUT_OUT","task_state":"SUCCESS",
            "cut_out_result":{"image_url":"https://wxpay.example/image"}}"#;
        let image: CouponImageGenerated = serde_json::from_str(json).unwrap();
        assert_eq!(image.combine_image_result, None);
        let url = image.cut_out_result.unwrap().image_url;
        assert_eq!(url.as_deref(), Some("https://wxpay.example/image"));
    }
}
