//! Items shared with the other crates of this workspace, outside the public API. Any release may change them, so
//! other crates must not depend on them.

pub use crate::rate_limit::redis::server::{RedisFailure, RedisScript, RedisServer};
