//! Points in time that lie after others.

use std::time::Duration;

use tokio::time::Instant;

/// Returns the time that is so long after `start`, or one that never comes where the sum is no time.
pub(crate) fn deadline(start: Instant, after: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
    start.checked_add(after).unwrap_or(start + FAR)
}
