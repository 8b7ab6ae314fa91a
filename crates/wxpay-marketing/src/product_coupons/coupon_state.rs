//! States of product coupons.

use crate::open_enum::open_enum;

open_enum! {
    /// The state of a product coupon (商品券状态).
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4015781292>
    pub enum CouponState {
        /// `AUDITING`: it waits for its audit.
        Auditing = "AUDITING",
        /// `EFFECTIVE`: in effect.
        Effective = "EFFECTIVE",
        /// `DEACTIVATED`: deactivated, and all its plans are terminated.
        Deactivated = "DEACTIVATED",
    }
}
