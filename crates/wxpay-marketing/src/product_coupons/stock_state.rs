//! States of stocks.

use crate::open_enum::open_enum;

open_enum! {
    /// The state of a stock (商品券批次状态).
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4015781542>
    pub enum StockState {
        /// `AUDITING`: it waits for its audit.
        Auditing = "AUDITING",
        /// `SENDING`: coupons are handed out.
        Sending = "SENDING",
        /// `PAUSED`: paused.
        Paused = "PAUSED",
        /// `STOPPED`: its end is past.
        Stopped = "STOPPED",
        /// `DEACTIVATED`: deactivated. Its plans are paused.
        Deactivated = "DEACTIVATED",
    }
}
