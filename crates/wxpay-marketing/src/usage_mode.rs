//! How often a consumer uses a coupon.

use crate::open_enum::open_enum;

open_enum! {
    /// How often a consumer uses a coupon (使用模式, `usage_mode`). It decides which stock a plan delivers.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184554>
    pub enum UsageMode {
        /// `SINGLE`: once. The plan delivers a stock (`stock_id`).
        Single = "SINGLE",
        /// `PROGRESSIVE_BUNDLE`: several times, one coupon after the other. The plan delivers a group of stocks
        /// (`stock_bundle_id`).
        ProgressiveBundle = "PROGRESSIVE_BUNDLE",
    }
}
