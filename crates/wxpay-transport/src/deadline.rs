//! Deadlines without overflow.

use std::time::Duration;

use tokio::time::Instant;

/// Returns `start + after`, or a time in the far future if the sum overflows.
pub(crate) fn deadline(start: Instant, after: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
    start.checked_add(after).unwrap_or(start + FAR)
}
