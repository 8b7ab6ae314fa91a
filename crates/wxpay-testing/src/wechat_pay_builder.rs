//! The builder of the WeChat Pay in memory.

use std::fmt;
use std::sync::Arc;

use wxpay_auth_core::{Certificate, Clock, Mchid, SystemClock};

use crate::journal::Entry;
use crate::keys::KEYS;
use crate::plan::{Plan, PlanState};
use crate::wechat_pay::{OnRequest, WechatPay};

/// Builds a [`WechatPay`] for one or several servers: two servers that share it are like the main and
/// the standby domain, which share their state.
///
/// ```
/// use wxpay_testing::{Gateway, Plan, WechatPay};
///
/// # #[tokio::main]
/// # async fn main() -> std::io::Result<()> {
/// let wechat_pay = WechatPay::builder()
///     .mchid("1234567890".parse().unwrap())
///     .plan(Plan::new("7", "1004"))
///     .on_request(|entry| println!("{entry}"))
///     .build();
/// let main = Gateway::builder().wechat_pay(wechat_pay.clone()).start().await?;
/// let standby = Gateway::builder().wechat_pay(wechat_pay).start().await?;
///
/// main.add_plan(Plan::new("8", "1004"));
/// assert_eq!(standby.plans().len(), 2);
/// # Ok(())
/// # }
/// ```
pub struct WechatPayBuilder {
    mchid: Mchid,
    clock: Box<dyn Clock>,
    certificate: Option<Certificate>,
    plans: Option<Vec<Plan>>,
    on_request: Option<OnRequest>,
}

/// The brand of the initial plans.
const BRAND_ID: &str = "1004";

impl WechatPayBuilder {
    pub(crate) fn new() -> Self {
        #[expect(clippy::expect_used, reason = "digits are a merchant number")]
        let mchid = Mchid::new("1900007291").expect("digits");
        let clock = Box::new(SystemClock);
        Self { mchid, clock, certificate: None, plans: None, on_request: None }
    }

    /// Sets the merchant number that may call.
    #[must_use]
    pub fn mchid(mut self, mchid: Mchid) -> Self {
        self.mchid = mchid;
        self
    }

    /// Sets the clock for checking requests and signing responses.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Sets the merchant's certificate for your own key: requests must be signed with that key and use that
    /// serial.
    ///
    /// The published test key, which [`signer`](WechatPay::signer), [`serial_no`](WechatPay::serial_no)
    /// and [`merchant_key_pem`](WechatPay::merchant_key_pem) still return, is then refused.
    #[must_use]
    pub fn merchant_certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Adds a plan. The first one added replaces the three initial plans.
    #[must_use]
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plans.get_or_insert_default().push(plan);
        self
    }

    /// Sets a callback for each request, called once its response is known, for example to print it.
    #[must_use]
    pub fn on_request(mut self, on_request: impl Fn(&Entry) + Send + Sync + 'static) -> Self {
        self.on_request = Some(Box::new(on_request));
        self
    }

    /// Builds it.
    pub fn build(self) -> Arc<WechatPay> {
        let plans = self.plans.unwrap_or_else(|| {
            vec![
                Plan::new("12000", BRAND_ID),
                Plan::new("12001", BRAND_ID).with_state(PlanState::Paused),
                Plan::new("12002", BRAND_ID).with_state(PlanState::Created),
            ]
        });
        let certificate = self.certificate.unwrap_or_else(|| KEYS.merchant_certificate.clone());
        Arc::new(WechatPay::new(self.mchid, self.clock, certificate, plans, self.on_request))
    }
}

impl fmt::Debug for WechatPayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WechatPayBuilder")
            .field("mchid", &self.mchid)
            .field("certificate", &self.certificate)
            .field("plans", &self.plans)
            .finish_non_exhaustive()
    }
}
