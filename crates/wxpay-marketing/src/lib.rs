// The examples in the README need the feature.
#![cfg_attr(all(feature = "bulk", unix), doc = include_str!("../README.md"))]
#![cfg_attr(not(all(feature = "bulk", unix)), doc = "Delivery plans (投放计划) of WeChat Pay.")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod audit_state;
mod authorization_type;
#[cfg(all(feature = "bulk", unix))]
mod bulk;
mod create_plan;
mod delivery_plans;
mod error;
mod expected_plan;
mod expecting;
mod find;
mod foreign_response_error;
mod incomplete_list_error;
mod input_error;
mod list_plans;
mod lookup_error;
mod notify_url;
mod open_enum;
mod plan;
mod plan_id;
mod plan_state;
mod plans;
mod product_authorities;
mod product_authority;
mod product_coupons;
mod response_check;
mod rules;
mod state_reads;
mod terminate_checked;
mod terminated;
mod update_plan;
mod usage_mode;

pub use audit_state::AuditState;
pub use authorization_type::AuthorizationType;
#[cfg(all(feature = "redis", unix))]
pub use bulk::RedisPlanLeases;
#[cfg(all(feature = "bulk", unix))]
pub use bulk::{
    BulkError, BulkEvent, BulkJournal, BulkPlan, BulkProgress, BulkReport, BulkReportRow,
    BulkTermination, Claim, JobOwner, JournalError, Lease, LeaseError, NoLeases, PlanLeases,
    PlanOutcome, StopHandle,
};
pub use create_plan::CreatePlan;
pub use delivery_plans::DeliveryPlans;
pub use error::{Error, UnexpectedStatusError};
pub use foreign_response_error::ForeignResponseError;
pub use incomplete_list_error::IncompleteListError;
pub use input_error::{InputError, InputFault};
pub use list_plans::{ListPlans, PlanPage};
pub use lookup_error::{LookupError, PlanNotFoundError};
pub use plan::Plan;
pub use plan_id::{PlanId, PlanIdError};
pub use plan_state::PlanState;
pub use plans::Plans;
pub use product_authorities::ProductAuthorities;
pub use product_authority::ProductAuthority;
pub use product_coupons::{
    AvailablePeriod, BundleInfo, CodeCounts, CouponDisplay, CouponState, Discount, DiscountCoupon,
    ExchangeCoupon, ListStocks, NormalCoupon, ProductCoupon, ProductCoupons, SentCounts, Stock,
    StockBundleInfo, StockPage, StockSendRule, StockState, UsageRule,
};
pub use terminate_checked::{
    ConfirmedTermination, Difference, EndedPlan, Impact, TerminateExpectation, TerminateOutcome,
    UnconfirmedTermination,
};
pub use terminated::Terminated;
pub use update_plan::UpdatePlan;
pub use usage_mode::UsageMode;
