//! What a brand has authorised the service provider to use.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wxpay_auth::{BrandId, DateTime};
use wxpay_transport::{RateLimit, Replay, Request, Target, Transport};

use crate::authorization_type::AuthorizationType;
use crate::delivery_plans::DeliveryPlans;
use crate::error::Error;
use crate::foreign_response_error::ForeignResponseError;
use crate::product_authority::ProductAuthority;

/// What a brand has authorised the service provider to use (产品权限), as far as it is in effect.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/partner/4017410365>
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProductAuthorities {
    /// The brand (品牌ID).
    pub brand_id: BrandId,
    /// Everything, or some products (授权类型).
    pub authorization_type: AuthorizationType,
    /// The products (授权产品权限). Whether they are listed with [`AuthorizationType::Hosting`] is not documented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_product: Option<Vec<ProductAuthority>>,
    /// When WeChat Pay recorded it (更新时间).
    pub update_time: DateTime,
    /// Other fields, as received. The documentation has none.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ProductAuthorities {
    /// Returns whether a product may be used; `None` if the response does not tell: with
    /// [`AuthorizationType::Hosting`], a product that is not listed may be authorised nevertheless.
    pub fn includes(&self, product: &ProductAuthority) -> Option<bool> {
        let listed = self.authorization_product.as_ref().map(|listed| listed.contains(product));
        match (listed, &self.authorization_type) {
            (Some(true), _) => Some(true),
            (Some(false), AuthorizationType::Partly) => Some(false),
            _ => None,
        }
    }
}

impl<T: Transport> DeliveryPlans<T> {
    /// Returns what a brand has authorised the service provider to use (获得品牌已授权且在生效中的产品权限信息).
    ///
    /// `GET /v3/brand-basic/partner/brands/{brand_id}/product-authorities`, 10 calls per second and `mchid`. Use it to
    /// explain a 403 `NO_AUTH`: plans need [`ProductAuthority::ShakeCoupon`] and [`ProductAuthority::ProductCoupon`]
    /// (and, before them, a member card or a store of the brand, 4016060552).
    ///
    /// # Errors
    /// [`Error::Transport`]: 403 `NO_AUTH` if brand management is not enabled for the service provider, 400
    /// `PARAM_ERROR` if the id is wrong or the brand has not authorised it. [`Error::Body`], [`Error::ForeignResponse`].
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4017410365>
    ///
    /// ```
    /// use wxpay_auth::BrandId;
    /// use wxpay_marketing::{DeliveryPlans, ProductAuthority};
    /// use wxpay_testing::Gateway;
    /// use wxpay_transport::{BaseUrl, Client};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let gateway = Gateway::start().await;
    /// let client = Client::builder(gateway.mchid(), gateway.signer(), gateway.key_ring())
    ///     .base_url(BaseUrl::new(gateway.base_url())?)
    ///     .build()?;
    /// let plans = DeliveryPlans::new(client);
    ///
    /// let authorities = plans.product_authorities(&BrandId::new("1004")?).await?;
    /// assert_eq!(authorities.includes(&ProductAuthority::ShakeCoupon), Some(true));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn product_authorities(
        &self,
        brand_id: &BrandId,
    ) -> Result<ProductAuthorities, Error> {
        const OPERATION: &str = "delivery_plans.product_authorities";
        let target = Target::new("/v3/brand-basic/partner/brands")?
            .segment(brand_id.as_str())?
            .segment("product-authorities")?;
        let expected = brand_id.to_string();
        let recognise = move |body: &[u8]| {
            serde_json::from_slice::<Value>(body).is_ok_and(|body| {
                body.get("brand_id") == Some(&expected.as_str().into())
                    && body.get("authorization_type").is_some_and(Value::is_string)
            })
        };
        let request = Request::get(OPERATION, target)
            .with_replay(Replay::Safe)
            .with_rate_limit(RateLimit::per_second(10))
            .recognised_by(recognise);
        let authorities: ProductAuthorities = self.ok(OPERATION, request).await?.json()?;
        if authorities.brand_id != *brand_id {
            let found = authorities.brand_id.as_str();
            let expected = brand_id.as_str();
            return Err(
                ForeignResponseError::new(OPERATION, true, "brand_id", expected, found).into()
            );
        }
        Ok(authorities)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn authorities(authorization_type: &str, products: &Value) -> ProductAuthorities {
        serde_json::from_value(json!({
            "brand_id": "70001", "authorization_type": authorization_type,
            "authorization_product": products, "update_time": "2025-05-20T13:29:35+08:00",
        }))
        .unwrap()
    }

    #[test]
    fn what_is_not_listed_is_denied_only_if_the_list_is_complete() {
        let (hosting, partly) = ("AUTHORIZATION_TYPE_HOSTING", "AUTHORIZATION_TYPE_PARTLY");
        let shake = json!(["BRAND_PRODUCT_AUTHORITY_SHAKE_COUPON"]);
        let card = json!(["BRAND_PRODUCT_AUTHORITY_MERCHANT_CARD", "NEW"]);
        for (kind, products, expected) in [
            (partly, &shake, Some(true)),
            (hosting, &shake, Some(true)),
            ("OTHER", &shake, Some(true)),
            (partly, &card, Some(false)),
            (hosting, &card, None),
            ("OTHER", &card, None),
            (partly, &Value::Null, None),
            (hosting, &Value::Null, None),
        ] {
            let found = authorities(kind, products).includes(&ProductAuthority::ShakeCoupon);
            assert_eq!(found, expected, "{kind} {products}");
        }
        let read = authorities("OTHER", &card);
        assert_eq!(read.authorization_type, AuthorizationType::Unknown("OTHER".into()));
        let new = ProductAuthority::Unknown("NEW".into());
        assert_eq!(read.includes(&new), Some(true));
    }
}
