//! Where state changes are notified to.

use serde::{Deserialize, Serialize};
use wxpay_auth::Mchid;
use wxpay_transport::{RateLimit, Replay, Request, RequestError, Target, Transport};

use crate::delivery_plans::DeliveryPlans;
use crate::error::Error;
use crate::rules;

#[derive(Debug, Serialize, Deserialize)]
struct NotifyUrl<U> {
    notify_url: U,
}

impl<T: Transport> DeliveryPlans<T> {
    /// Sets the address that WeChat Pay notifies of changed states (设置投放计划回调地址), and returns the one that is set
    /// then. There is one for each service provider, for all brands, and no call that reads it.
    ///
    /// `POST /v3/marketing/partner/delivery-plan/{sp_mchid}/notify-url`, 10 calls per second and `mchid`. `sp_mchid` is
    /// the service provider's own number. The address is a whole one, public, without a query, with at most 256
    /// characters; that it is `https` is a rule of this SDK.
    ///
    /// Its replay class is [`Replay::Never`]: what a repetition does is not documented. After an unknown outcome, set the
    /// address again once the connection works: no call reads it.
    ///
    /// # Errors
    /// [`Error::Input`] if the address breaks a rule; nothing was sent then. [`Error::Transport`]. [`Error::Body`] if
    /// the response is not the documented one.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/partner/4016184598>
    pub async fn set_notify_url(&self, sp_mchid: &Mchid, url: &str) -> Result<String, Error> {
        const OPERATION: &str = "delivery_plans.set_notify_url";
        rules::notify_url(url)?;
        let request = Request::post(OPERATION, target(sp_mchid)?)
            .with_json(&NotifyUrl { notify_url: url })?
            .with_replay(Replay::Never)
            .with_rate_limit(RateLimit::per_second(10));
        let response = self.ok(OPERATION, request).await?;
        Ok(response.json::<NotifyUrl<String>>()?.notify_url)
    }
}

fn target(sp_mchid: &Mchid) -> Result<Target, RequestError> {
    Target::new("/v3/marketing/partner/delivery-plan")?
        .segment(sp_mchid.as_str())?
        .segment("notify-url")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_the_documented_one() {
        let target = target(&Mchid::new("1900007291").unwrap()).unwrap().to_string();
        assert_eq!(target, "/v3/marketing/partner/delivery-plan/1900007291/notify-url");
        let body = NotifyUrl { notify_url: "https://notify.example.test/plan" };
        let body = serde_json::to_string(&body).unwrap();
        assert_eq!(body, r#"{"notify_url":"https://notify.example.test/plan"}"#);
    }
}
