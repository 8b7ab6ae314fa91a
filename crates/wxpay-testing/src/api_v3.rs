//! The APIv3 key of the merchant.

use crate::wechat_pay::WechatPay;

/// The key of the unit tests of wechatpay-java.
pub(crate) const API_V3_KEY: &str = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb";

impl WechatPay {
    /// Returns the APIv3 key, with which notifications and platform certificates are encrypted. It is a published test key.
    pub fn api_v3_key(&self) -> &'static str {
        API_V3_KEY
    }
}
