//! Tencent Cloud KMS.

mod backend;
mod builder;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod role;
mod tc3;

pub use backend::TencentKms;
pub use builder::TencentKmsBuilder;
pub use role::TencentRole;

/// How the service is called in errors.
const SERVICE: &str = "Tencent Cloud KMS";
