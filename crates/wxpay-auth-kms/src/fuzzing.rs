//! The parsers of responses, for `fuzz/` alone.

pub use http::StatusCode;

pub use crate::alibaba::fuzzing as alibaba;
pub use crate::tencent::fuzzing as tencent;
pub use crate::vault::fuzzing as vault;
