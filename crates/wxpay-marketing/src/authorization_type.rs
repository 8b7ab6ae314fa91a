//! How far a brand authorises a service provider.

use crate::open_enum::open_enum;

open_enum! {
    /// How far a brand authorises a service provider (授权类型, `authorization_type`).
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4017410365>
    pub enum AuthorizationType {
        /// `AUTHORIZATION_TYPE_HOSTING`: the service provider manages everything (全托管模式).
        Hosting = "AUTHORIZATION_TYPE_HOSTING",
        /// `AUTHORIZATION_TYPE_PARTLY`: some products (部分授权).
        Partly = "AUTHORIZATION_TYPE_PARTLY",
    }
}
