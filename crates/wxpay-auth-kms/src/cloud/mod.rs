//! The services whose requests are signed with an access key.

#[cfg(feature = "alibaba")]
pub(crate) mod alibaba;
mod digest;
pub(crate) mod error_codes;
pub(crate) mod refusal;
mod setup;
#[cfg(feature = "tencent")]
pub(crate) mod tencent;
mod utc;

use digest::{hex, hmac_sha256, sha256_hex};
#[cfg(feature = "alibaba")]
use error_codes::look_up;
use error_codes::{CLOCK_HINT, Code, TOKEN_HINT};
use refusal::refusal;
use setup::{Setup, header_value, name, region};
#[cfg(feature = "tencent")]
use utc::date;
#[cfg(feature = "alibaba")]
use utc::{iso, parse_iso};

use crate::credentials::access_keys::AccessKeys;
use crate::credentials::cache::{CredentialCache, Kept};
use crate::credentials::metadata::{Metadata, given, not_given};
use crate::credentials::provider::{CredentialProvider, Credentials};
use crate::credentials::request_failure::RequestFailure;
