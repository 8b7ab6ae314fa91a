//! The limit that WeChat Pay publishes for an interface.

use std::num::NonZeroU32;

/// How many requests per second WeChat Pay accepts for one interface and one `mchid`.
///
/// A request without a limit ([`Request::with_rate_limit`](crate::Request::with_rate_limit)) is not
/// limited: for many interfaces no figure is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateLimit {
    per_second: NonZeroU32,
}

impl RateLimit {
    /// Creates a limit. 0 counts as 1.
    pub const fn per_second(requests: u32) -> Self {
        match NonZeroU32::new(requests) {
            Some(per_second) => Self { per_second },
            None => Self { per_second: NonZeroU32::MIN },
        }
    }

    /// Returns the number of requests per second.
    pub fn requests(self) -> NonZeroU32 {
        self.per_second
    }
}
