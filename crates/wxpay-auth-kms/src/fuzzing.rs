//! The parsers of responses, for `fuzz/` only.

pub use http::StatusCode;

pub use crate::cloud::alibaba::fuzzing as alibaba;
pub use crate::cloud::tencent::fuzzing as tencent;
pub use crate::vault::fuzzing as vault;
