#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod authenticate;
mod calls;
mod conformance;
mod connect_proxy;
mod coupon_calls;
mod fault;
mod faulty_io;
mod gateway;
mod gzip;
mod journal;
mod keys;
mod live;
mod merchant_ca;
mod misbehaviour;
mod plan;
mod plan_calls;
mod plan_desk;
mod plan_route;
mod plan_rules;
mod refusal;
mod request;
mod response;
mod route;
mod server_tls;
mod sign_error;
mod signing;
mod wechat_pay;
mod wechat_pay_builder;
mod wire_server;
mod wire_server_builder;
#[cfg(feature = "wiremock")]
mod wiremock;

pub use conformance::{Nonconformance, SignerConformance};
pub use connect_proxy::{ConnectProxy, ProxyManners};
pub use fault::{Fault, How, Point};
pub use gateway::{Gateway, GatewayBuilder};
pub use journal::{Entry, Verdict};
pub use merchant_ca::CertificateRefusal;
pub use misbehaviour::{ErrorBody, Misbehaviour};
pub use plan::{Plan, PlanState};
pub use refusal::Refusal;
pub use server_tls::{ServerTls, ca_der, ca_pem, client_config, server_config};
pub use wechat_pay::WechatPay;
pub use wechat_pay_builder::WechatPayBuilder;
pub use wire_server::WireServer;
pub use wire_server_builder::WireServerBuilder;
#[cfg(feature = "wiremock")]
pub use wiremock::WiremockResponder;
