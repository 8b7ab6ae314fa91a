//! Code shared by the end-to-end tests.

// The README code compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../docs/delivery-plans.md")]
struct DeliveryPlansGuide;

#[cfg(doctest)]
#[doc = include_str!("../../docs/hsm.md")]
struct Hsm;

#[cfg(doctest)]
#[doc = include_str!("../../docs/kms.md")]
struct Kms;

#[cfg(doctest)]
#[doc = include_str!("../../docs/certificates.md")]
struct Certificates;

#[cfg(doctest)]
#[doc = include_str!("../../docs/notifications.md")]
struct Notifications;

pub mod black_hole;
pub mod born;
pub mod bulk_jobs;
pub mod callers;
pub mod certificate_drill;
pub mod cloud;
pub mod cloud_faults;
pub mod cloud_keys;
pub mod field_checks;
pub mod footprint;
pub mod foreign_tools;
pub mod kms_service;
pub mod load;
pub mod log;
pub mod openbao;
pub mod openbao_cluster;
pub mod openssl;
pub mod own_process;
pub mod redis_server;
pub mod requests;
pub mod signals;
pub mod switchboard;
pub mod telling_signer;
pub mod tinyproxy;
pub mod token;
pub mod token_checks;
pub mod until;

use wxpay_auth::{FileKeySigner, KeyRing, Signer};
use wxpay_marketing::{DeliveryPlans, PlanId};
use wxpay_testing::{Gateway, WechatPay, client_config};
use wxpay_transport::{BaseUrl, Client, ClientBuilder, NoRetry, Proxy, Transport};

/// The client of most tests.
pub type TestClient = Client<FileKeySigner, KeyRing>;

/// Returns a client builder for a gateway, without a proxy from the environment. It makes one attempt, so
/// that tests see the result of that attempt.
pub fn builder(wechat_pay: &WechatPay, base_url: &str) -> ClientBuilder<FileKeySigner, KeyRing> {
    Client::builder(wechat_pay.mchid(), wechat_pay.signer(), wechat_pay.key_ring())
        .base_url(BaseUrl::new(base_url).expect("an origin"))
        .proxy(Proxy::none())
        .retry(NoRetry)
        .tls(client_config())
}

/// Returns a service for a gateway.
pub fn plans(wechat_pay: &WechatPay, base_url: &str) -> DeliveryPlans<TestClient> {
    DeliveryPlans::new(builder(wechat_pay, base_url).build().expect("a client"))
}

/// Returns a plan id.
pub fn plan_id(plan_id: &str) -> PlanId {
    PlanId::new(plan_id).expect("an id")
}

/// Returns the kind of an error, for tables.
pub fn kind(error: &wxpay_marketing::Error) -> &'static str {
    use wxpay_transport::Error;
    match error {
        wxpay_marketing::Error::PlanId(_) => "plan_id",
        wxpay_marketing::Error::UnexpectedStatus(_) => "unexpected status",
        wxpay_marketing::Error::Transport(error) => match error {
            Error::Config(_) | Error::Settings(_) => "config",
            Error::Request(_) => "request",
            Error::Overload(_) => "overload",
            Error::Verifier(_) => "verifier",
            Error::Signing(_) => "signing",
            Error::Connect(_) => "connect",
            Error::Timeout(_) => "timeout",
            Error::Exchange(_) => "exchange",
            Error::Api(_) => "api",
            Error::Unverified(_) => "unverified",
            _ => "new",
        },
        _ => "new",
    }
}

/// Joins the messages of an error and all its sources.
pub fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |&e| e.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Returns a service for a gateway with this signer.
pub fn signed_plans<S: Signer>(gateway: &Gateway, signer: S) -> DeliveryPlans<impl Transport> {
    let client = Client::builder(gateway.mchid(), signer, gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url()).expect("an origin"))
        .proxy(Proxy::none())
        .build()
        .expect("a client");
    DeliveryPlans::new(client)
}
