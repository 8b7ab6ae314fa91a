//! Lists the stocks of a product coupon.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wxpay_auth::BrandId;
use wxpay_transport::{RequestError, Target, Transport};

use super::stock::Stock;
use super::stock_state::StockState;
use super::{ProductCoupons, coupon_target, query};
use crate::error::Error;
use crate::expecting::expecting;
use crate::foreign_response_error::ForeignResponseError;
use crate::input_error::InputError;
use crate::rules;

/// Which stocks of a product coupon to list (查询商品券批次列表).
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4015781553>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListStocks {
    brand_id: BrandId,
    product_coupon_id: String,
    state: Option<StockState>,
    page_size: Option<u32>,
    page_token: Option<String>,
    stock_bundle_id: Option<String>,
}

impl ListStocks {
    /// Creates a request for the first page of all stocks of a coupon.
    pub fn new(brand_id: BrandId, product_coupon_id: impl Into<String>) -> Self {
        let product_coupon_id = product_coupon_id.into();
        Self {
            brand_id,
            product_coupon_id,
            state: None,
            page_size: None,
            page_token: None,
            stock_bundle_id: None,
        }
    }

    /// Lists only stocks in this state.
    #[must_use]
    pub fn state(mut self, state: StockState) -> Self {
        self.state = Some(state);
        self
    }

    /// Sets the size of a page, 1 to 50. The default is 20.
    #[must_use]
    pub fn page_size(mut self, page_size: u32) -> Self {
        self.page_size = Some(page_size);
        self
    }

    /// Continues after the page with this `next_page_token`.
    #[must_use]
    pub fn page_token(mut self, page_token: impl Into<String>) -> Self {
        self.page_token = Some(page_token.into());
        self
    }

    /// Lists only the stocks of this group. There is no call for a group itself.
    #[must_use]
    pub fn stock_bundle_id(mut self, stock_bundle_id: impl Into<String>) -> Self {
        self.stock_bundle_id = Some(stock_bundle_id.into());
        self
    }

    /// Checks the documented rules, as [`ProductCoupons::stocks`] does before it sends.
    ///
    /// # Errors
    /// [`InputError`] if the size of a page is not 1 to 50.
    pub fn check(&self) -> Result<(), InputError> {
        match self.page_size {
            Some(size) => rules::range("page_size", size.into(), 1, Some(50), "4015781553"),
            None => Ok(()),
        }
    }

    fn target(&self) -> Result<Target, RequestError> {
        let mut target = coupon_target(&self.product_coupon_id)?.segment("stocks")?;
        target = target.query("brand_id", &self.brand_id)?;
        if let Some(page_size) = self.page_size {
            target = target.query("page_size", page_size)?;
        }
        for (name, value) in [
            ("state", self.state.as_ref().map(StockState::as_str)),
            ("page_token", self.page_token.as_deref()),
            ("stock_bundle_id", self.stock_bundle_id.as_deref()),
        ] {
            if let Some(value) = value {
                target = target.query(name, value)?;
            }
        }
        Ok(target)
    }
}

/// A page of a list of stocks.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4015781553>
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StockPage {
    /// The stocks of this page; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stock_list: Option<Vec<Stock>>,
    /// The number of stocks on all pages. The table says that it is always there, its text that only the first page has
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_count: Option<i64>,
    /// Where the next page begins ([`ListStocks::page_token`]); absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
    /// Other fields, as received.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl<T: Transport> ProductCoupons<T> {
    /// Lists stocks of a product coupon (查询商品券批次列表), one page.
    ///
    /// `GET …/product-coupons/{product_coupon_id}/stocks`, 20 calls per second and `mchid`. Nothing in a page without
    /// stocks says which request it answers, so each page is asked for on a connection that has carried no other
    /// request.
    ///
    /// # Errors
    /// [`Error::Input`] if the size of a page is not 1 to 50; those of [`get`](Self::get).
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4015781553>
    pub async fn stocks(&self, stocks: &ListStocks) -> Result<StockPage, Error> {
        const OPERATION: &str = "product_coupons.stocks";
        stocks.check()?;
        let request = query(OPERATION, stocks.target()?);
        let response = expecting(&self.transport, OPERATION, StatusCode::OK, request).await?;
        let page: StockPage = response.json()?;
        for stock in page.stock_list.iter().flatten() {
            for (field, expected, found) in [
                ("brand_id", stocks.brand_id.as_str(), stock.brand_id.as_str()),
                ("product_coupon_id", &stocks.product_coupon_id, &stock.product_coupon_id),
            ] {
                if expected != found {
                    let error = ForeignResponseError::new(OPERATION, true, field, expected, found);
                    return Err(error.into());
                }
            }
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_the_documented_one() {
        let list = ListStocks::new(BrandId::new("70001").unwrap(), "7001");
        let path = "/v3/marketing/partner/product-coupon/product-coupons/7001/stocks";
        assert_eq!(list.target().unwrap().to_string(), format!("{path}?brand_id=70001"));
        let all =
            list.page_size(50).state(StockState::Sending).page_token("a+/=").stock_bundle_id("3");
        assert_eq!(
            all.target().unwrap().to_string(),
            format!(
                "{path}?brand_id=70001&page_size=50&state=SENDING&page_token=a%2B%2F%3D&stock_bundle_id=3"
            )
        );
        assert!(all.clone().page_size(0).check().is_err() && all.page_size(51).check().is_err());
    }
}
