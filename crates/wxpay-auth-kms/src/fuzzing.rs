//! The parsers of responses, for `fuzz/` alone.

pub use http::StatusCode;

pub use super::alibaba::fuzzing as alibaba;
pub use super::tencent::fuzzing as tencent;
pub use super::vault::fuzzing as vault;
