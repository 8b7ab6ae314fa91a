#![doc = include_str!("../README.md")]

mod answer;
mod authenticate;
mod connect_proxy;
mod fault;
mod faulty_io;
mod gateway;
mod journal;
mod keys;
mod misbehaviour;
mod plan;
mod routes;
mod server_tls;
mod wechat_pay;
mod wire_server;

pub use connect_proxy::{ConnectProxy, ProxyManners};
pub use fault::{Fault, How, Point};
pub use gateway::Gateway;
pub use journal::{Entry, Verdict};
pub use misbehaviour::{ErrorBody, Misbehaviour};
pub use plan::{Plan, PlanState};
pub use server_tls::{ServerTls, ca_pem, client_config};
pub use wechat_pay::WechatPay;
pub use wire_server::WireServer;
