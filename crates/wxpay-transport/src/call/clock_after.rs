//! The time after a request was signed, even if the application's clock panics.

use wxpay_auth::{Clock, Timestamp};

use crate::call::progress::SignedBy;
use crate::panics::caught;

/// Reads a clock, and falls back to the signing time when it panics, so that the response can still be verified.
pub(crate) struct ClockAfter<'c> {
    pub(crate) clock: &'c dyn Clock,
    /// What the clock read before signing.
    pub(crate) signed: Option<&'c SignedBy>,
}

impl Clock for ClockAfter<'_> {
    fn now(&self) -> Timestamp {
        caught("Clock", || self.clock.now()).unwrap_or_else(|| {
            // If nothing was signed, there is nothing to verify.
            self.signed.map_or(Timestamp::from_unix_secs(0), SignedBy::now)
        })
    }
}
