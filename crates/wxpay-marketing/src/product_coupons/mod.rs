//! The coupons behind delivery plans, read only.

mod coupon;
mod coupon_state;
mod list_stocks;
mod open_struct;
mod stock;
mod stock_state;

use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wxpay_auth::BrandId;
use wxpay_transport::{RateLimit, Replay, Request, RequestError, Target, Transport};

pub use self::coupon::{
    BundleInfo, CouponDisplay, Discount, DiscountCoupon, ExchangeCoupon, NormalCoupon,
    ProductCoupon,
};
pub use self::coupon_state::CouponState;
pub use self::list_stocks::{ListStocks, StockPage};
pub use self::stock::{
    AvailablePeriod, CodeCounts, SentCounts, Stock, StockBundleInfo, StockSendRule, UsageRule,
};
pub use self::stock_state::StockState;

use crate::error::Error;
use crate::expecting::expecting;
use crate::foreign_response_error::ForeignResponseError;

/// Reads product coupons (商品券) and their stocks (批次), for service providers (普通服务商). There is no call that lists
/// the coupons of a brand.
///
/// `T` is a [`Client`](wxpay_transport::Client), a reference to one, or an `Arc<dyn Transport>`.
///
/// ```
/// use wxpay_auth::BrandId;
/// use wxpay_marketing::ProductCoupons;
/// use wxpay_transport::Client;
///
/// async fn left(brand_id: &BrandId) -> Result<(), Box<dyn std::error::Error>> {
///     let coupons = ProductCoupons::new(Client::from_env().await?);
///     let stock = coupons.stock(brand_id, "7000000001", "700000001").await?;
///     println!("{:?} of {:?}", stock.sent_count_info, stock.stock_send_rule);
///     Ok(())
/// }
/// ```
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4015781292>
#[derive(Debug, Clone)]
pub struct ProductCoupons<T> {
    transport: T,
}

const PATH: &str = "/v3/marketing/partner/product-coupon/product-coupons";

impl<T: Transport> ProductCoupons<T> {
    /// Creates the service. The client must sign with the service provider's own `mchid`.
    pub fn new(transport: T) -> Self {
        Self { transport }
    }

    /// Returns the transport, for calls that have no typed form yet.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Returns a product coupon (查询商品券).
    ///
    /// `GET /v3/marketing/partner/product-coupon/product-coupons/{product_coupon_id}`, 20 calls per second and `mchid`.
    ///
    /// # Errors
    /// [`Error::Transport`]: 404 `NOT_FOUND` if the brand has no such coupon. [`Error::Body`],
    /// [`Error::ForeignResponse`].
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4015781292>
    pub async fn get(
        &self,
        brand_id: &BrandId,
        product_coupon_id: &str,
    ) -> Result<ProductCoupon, Error> {
        const OPERATION: &str = "product_coupons.get";
        let expected = [("brand_id", brand_id.as_str()), ("product_coupon_id", product_coupon_id)];
        let target = coupon_target(product_coupon_id)?.query("brand_id", brand_id)?;
        self.read(OPERATION, target, &expected).await
    }

    /// Returns a stock of a product coupon (查询商品券批次详情).
    ///
    /// `GET …/product-coupons/{product_coupon_id}/stocks/{stock_id}`, 20 calls per second and `mchid`.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4015781542>
    pub async fn stock(
        &self,
        brand_id: &BrandId,
        product_coupon_id: &str,
        stock_id: &str,
    ) -> Result<Stock, Error> {
        const OPERATION: &str = "product_coupons.stock";
        let expected = [
            ("brand_id", brand_id.as_str()),
            ("product_coupon_id", product_coupon_id),
            ("stock_id", stock_id),
        ];
        let target = coupon_target(product_coupon_id)?.segment("stocks")?.segment(stock_id)?;
        self.read(OPERATION, target.query("brand_id", brand_id)?, &expected).await
    }

    /// Sends a query whose response has these fields with these values.
    async fn read<R: DeserializeOwned>(
        &self,
        operation: &'static str,
        target: Target,
        expected: &[(&'static str, &str)],
    ) -> Result<R, Error> {
        let owned: Vec<_> =
            expected.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let request = query(operation, target).recognised_by(move |body| {
            serde_json::from_slice::<Value>(body).is_ok_and(|body| {
                owned.iter().all(|(name, value)| body.get(*name) == Some(&value.as_str().into()))
            })
        });
        let response = expecting(&self.transport, operation, StatusCode::OK, request).await?;
        let body: Value = response.json()?;
        for (name, value) in expected {
            let found = body.get(*name).and_then(Value::as_str);
            if let Some(found) = found.filter(|found| found != value) {
                return Err(ForeignResponseError::new(operation, true, name, value, found).into());
            }
        }
        Ok(response.json()?)
    }
}

fn query(operation: &'static str, target: Target) -> Request {
    Request::get(operation, target)
        .with_replay(Replay::Safe)
        .with_rate_limit(RateLimit::per_second(20))
}

fn coupon_target(product_coupon_id: &str) -> Result<Target, RequestError> {
    Target::new(PATH)?.segment(product_coupon_id)
}
