//! What the services have in common whose requests are signed with an access key.

mod cache;
mod codes;
mod credentials;
mod digest;
mod metadata;
mod refusal;
mod setup;
mod utc;

pub(super) use cache::CredentialCache;
#[cfg(feature = "alibaba")]
pub(super) use codes::look_up;
pub(super) use codes::{CLOCK_HINT, Code, TOKEN_HINT};
pub use credentials::{CredentialProvider, Credentials};
pub(super) use digest::{hex, hmac_sha256, sha256_hex};
pub(super) use metadata::{Metadata, given, not_given};
pub(super) use refusal::{Refusal, refusal};
pub(super) use setup::{Setup, header_value, name, region};
#[cfg(feature = "tencent")]
pub(super) use utc::date;
#[cfg(feature = "alibaba")]
pub(super) use utc::{iso, parse_iso};
