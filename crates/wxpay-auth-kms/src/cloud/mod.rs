//! The services whose requests are signed with an access key: one folder per vendor.

#[cfg(feature = "alibaba")]
pub(crate) mod alibaba;
pub(crate) mod builder;
mod digest;
mod error_codes;
pub(crate) mod kms;
mod refusal;
pub(crate) mod role;
#[cfg(feature = "tencent")]
pub(crate) mod tencent;
mod utc;
mod vendor;
