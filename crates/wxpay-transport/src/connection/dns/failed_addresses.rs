//! Addresses that failed recently.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a failed address is tried last.
const REST: Duration = Duration::from_secs(60);

/// Maximum number of remembered addresses; the oldest is dropped first.
const MOST: usize = 64;

/// Remembers failed addresses, so that others are tried first. No address is ever left out.
#[derive(Debug, Default)]
pub(crate) struct FailedAddresses(Mutex<VecDeque<(SocketAddr, Instant)>>);

impl FailedAddresses {
    /// Records that an address failed, or that another one was much faster.
    pub(crate) fn add(&self, address: SocketAddr) {
        let mut failed = self.failed();
        failed.retain(|(other, _)| *other != address);
        if failed.len() >= MOST {
            failed.pop_front();
        }
        failed.push_back((address, Instant::now()));
    }

    /// Records that an address works.
    pub(crate) fn remove(&self, address: SocketAddr) {
        self.failed().retain(|(other, _)| *other != address);
    }

    /// Sorts addresses for connecting: the two families alternate, each in its given order; addresses that failed
    /// come last, the most recent failure at the end.
    pub(crate) fn order(&self, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
        let mut failed = self.failed();
        while failed.front().is_some_and(|(_, since)| since.elapsed() >= REST) {
            failed.pop_front();
        }
        let place = |address: &SocketAddr| failed.iter().position(|(other, _)| other == address);
        let (mut last, first): (Vec<_>, Vec<_>) =
            addresses.iter().copied().partition(|address| place(address).is_some());
        last.sort_by_key(place);
        let mut ordered = in_turn(&first);
        ordered.extend(last);
        ordered
    }

    fn failed(&self) -> MutexGuard<'_, VecDeque<(SocketAddr, Instant)>> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes one address of the family of the first, one of the other, and so on.
fn in_turn(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let of_first = |address: &&SocketAddr| address.is_ipv4() == first.is_ipv4();
    let (ours, others): (Vec<&SocketAddr>, Vec<&SocketAddr>) = addresses.iter().partition(of_first);
    let mut others = others.into_iter();
    let mut ordered = Vec::with_capacity(addresses.len());
    for address in ours {
        ordered.push(*address);
        ordered.extend(others.next());
    }
    ordered.extend(others);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(all: &[&str]) -> Vec<SocketAddr> {
        all.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn the_families_take_turns() {
        let failed = FailedAddresses::default();
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        let ordered = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(failed.order(&given), ordered);
        let given = addresses(&["1.1.1.1:1", "[::1]:1", "[::2]:1"]);
        assert_eq!(failed.order(&given), given);
        assert!(failed.order(&[]).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_comes_last_for_a_while() {
        let failed = FailedAddresses::default();
        let given = addresses(&["1.1.1.1:1", "1.1.1.2:1", "1.1.1.3:1"]);
        failed.add(given[0]);
        failed.add(given[1]);
        assert_eq!(failed.order(&given), addresses(&["1.1.1.3:1", "1.1.1.1:1", "1.1.1.2:1"]));
        failed.add(given[0]);
        assert_eq!(failed.order(&given), addresses(&["1.1.1.3:1", "1.1.1.2:1", "1.1.1.1:1"]));
        failed.remove(given[1]);
        assert_eq!(failed.order(&given), addresses(&["1.1.1.2:1", "1.1.1.3:1", "1.1.1.1:1"]));
        tokio::time::advance(REST).await;
        assert_eq!(failed.order(&given), given);
        assert!(failed.failed().is_empty(), "it is forgotten");
    }

    #[test]
    fn only_so_many_are_remembered() {
        let failed = FailedAddresses::default();
        for n in 0..u8::MAX {
            failed.add(SocketAddr::from(([1, 1, 1, n], 1)));
        }
        assert_eq!(failed.failed().len(), MOST);
        let newest = SocketAddr::from(([1, 1, 1, u8::MAX - 1], 1));
        assert!(failed.failed().iter().any(|(address, _)| *address == newest));
    }
}
