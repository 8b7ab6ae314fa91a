//! The time after a request was signed, even if the application's clock panics.

use tokio::time::Instant;
use wxpay_auth::{Clock, Timestamp};

use crate::panics::caught;

/// Reads a clock, and falls back to the signing time when it panics, so that the response can still be verified.
pub(crate) struct ClockAfter<'c> {
    pub(crate) clock: &'c dyn Clock,
    /// What the clock read at signing, and when that was.
    pub(crate) signed: Option<(Timestamp, Instant)>,
}

impl Clock for ClockAfter<'_> {
    fn now(&self) -> Timestamp {
        caught("Clock", || self.clock.now()).unwrap_or_else(|| match self.signed {
            Some((signed_at, at)) => {
                let seconds = signed_at.as_unix_secs().saturating_add(at.elapsed().as_secs());
                Timestamp::from_unix_secs(seconds)
            }
            // Nothing was signed, so there is nothing to verify.
            None => Timestamp::from_unix_secs(0),
        })
    }
}
