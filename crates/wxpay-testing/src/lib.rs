#![doc = include_str!("../README.md")]

mod answer;
mod authenticate;
mod gateway;
mod journal;
mod keys;
mod misbehaviour;
mod plan;
mod routes;
mod wechat_pay;

pub use gateway::Gateway;
pub use journal::{Entry, Verdict};
pub use misbehaviour::{ErrorBody, Misbehaviour};
pub use plan::{Plan, PlanState};
pub use wechat_pay::WechatPay;
