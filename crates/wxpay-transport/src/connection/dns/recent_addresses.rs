//! Addresses that were looked up recently.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a lookup is cached: it takes a thread and, often, a name server.
const KEEP: Duration = Duration::from_secs(10);

/// Caches the addresses of one name until none of them works or they are too old.
#[derive(Debug, Default)]
pub(crate) struct RecentAddresses(Mutex<Option<(Instant, Vec<IpAddr>)>>);

impl RecentAddresses {
    /// Returns the cached addresses, unless they are too old.
    pub(crate) fn known(&self) -> Option<Vec<IpAddr>> {
        let recent = self.recent();
        let (since, addresses) = recent.as_ref()?;
        (since.elapsed() < KEEP).then(|| addresses.clone())
    }

    /// Caches the result of a lookup.
    pub(crate) fn remember(&self, addresses: &[IpAddr]) {
        *self.recent() = Some((Instant::now(), addresses.to_vec()));
    }

    /// Discards all addresses: none of them works.
    pub(crate) fn forget(&self) {
        *self.recent() = None;
    }

    fn recent(&self) -> MutexGuard<'_, Option<(Instant, Vec<IpAddr>)>> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn addresses_are_known_for_a_while_and_until_they_lead_nowhere() {
        let recent = RecentAddresses::default();
        let addresses: [IpAddr; 2] = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        assert_eq!(recent.known(), None);
        recent.remember(&addresses);
        tokio::time::advance(KEEP.mul_f64(0.99)).await;
        assert_eq!(recent.known().as_deref(), Some(&addresses[..]));
        tokio::time::advance(KEEP.mul_f64(0.01)).await;
        assert_eq!(recent.known(), None);
        recent.remember(&addresses);
        recent.forget();
        assert_eq!(recent.known(), None);
    }
}
