//! The time after a request was signed, whether the application's clock still works or not.

use tokio::time::Instant;
use wxpay_auth::{Clock, Timestamp};

use crate::panics::caught;

/// Asks a clock, and goes by the time of the signature when that panics: what came back is to be verified all
/// the same.
pub(crate) struct ClockAfter<'c> {
    pub(crate) clock: &'c dyn Clock,
    /// What the clock said, and when.
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
