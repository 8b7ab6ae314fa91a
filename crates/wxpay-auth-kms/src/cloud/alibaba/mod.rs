//! Alibaba Cloud KMS.

mod acs3;
mod backend;
mod builder;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod role;

pub use backend::AlibabaKms;
pub use builder::AlibabaKmsBuilder;
pub use role::AlibabaRole;

/// How the service is called in errors.
const SERVICE: &str = "Alibaba Cloud KMS";
