#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod delivery_plans;
mod error;
mod plan_id;
mod terminated;

pub use delivery_plans::DeliveryPlans;
pub use error::{Error, UnexpectedStatusError};
pub use plan_id::{PlanId, PlanIdError};
pub use terminated::Terminated;
