//! A token and its lease.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::backoff::random;

/// A token of the service.
pub(super) struct Token {
    secret: Zeroizing<String>,
    lease: Option<Lease>,
    warned: AtomicBool,
}

/// The lease of a token, and whether it can be renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    begin: Instant,
    length: Duration,
    due: Instant,
    pub(super) renewable: bool,
}

impl Lease {
    /// Creates a lease from the response of the service, counted from before the request. 0 seconds
    /// mean a token that does not expire.
    pub(super) fn new(asked: Instant, seconds: u64, renewable: bool) -> Option<Self> {
        // Capped at 100 years, because an `Instant` is limited.
        let length = Duration::from_secs(seconds.min(100 * 365 * 86_400));
        let due = asked + length.mul_f64(0.6 + random() / 15.0);
        (seconds > 0).then_some(Self { begin: asked, length, due, renewable })
    }

    /// Returns when the token should be replaced: at a random time between 60 % and two thirds of
    /// the lease, so that processes that logged in together do not renew together.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn end(&self) -> Instant {
        self.begin + self.length
    }

    /// Returns whether this lease ends clearly later than another. A token at its maximum TTL can
    /// be renewed without lasting longer; the service counts in whole seconds.
    pub(super) fn outlasts(&self, other: &Self) -> bool {
        self.end() > other.end() + Duration::from_millis(500)
    }
}

impl Token {
    pub(super) fn new(secret: Zeroizing<String>, lease: Option<Lease>) -> Self {
        Self { secret, lease, warned: AtomicBool::new(false) }
    }

    /// Returns the same token with another lease.
    pub(super) fn lasting(&self, lease: Lease) -> Self {
        Self::new(self.secret.clone(), Some(lease))
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lease.is_some_and(|lease| lease.end() <= Instant::now())
    }

    /// Returns whether no warning about its expiry has been logged yet, and notes that one is now.
    pub(super) fn is_first_warning(&self) -> bool {
        !self.warned.swap(true, Ordering::Relaxed)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("lease", &self.lease).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_due_before_two_thirds_of_it_have_passed() {
        let begin = Instant::now();
        let lease = Lease::new(begin, 30, true).unwrap();
        assert!(
            (begin + Duration::from_secs(18)..=begin + Duration::from_secs(20))
                .contains(&lease.due())
        );
        assert_eq!(lease.end(), begin + Duration::from_secs(30));
        assert_eq!(Lease::new(begin, 0, true), None);
        Lease::new(begin, u64::MAX, true).unwrap().end();
        let token = Token::new(Zeroizing::new("t".into()), Some(lease));
        tokio::time::advance(Duration::from_millis(29_999)).await;
        assert!(!token.has_ended());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(token.has_ended());
    }

    #[test]
    fn leases_that_began_together_are_not_due_together() {
        let begin = Instant::now();
        let due = |_| Lease::new(begin, 3000, true).unwrap().due().duration_since(begin).as_secs();
        let due: Vec<_> = (0..1000).map(due).collect();
        assert!(due.iter().all(|secs| (1800..=2000).contains(secs)), "{due:?}");
        assert!(due.iter().any(|secs| *secs < 1850), "{due:?}");
        assert!(due.iter().any(|secs| *secs > 1950), "{due:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn at_its_maximum_a_token_does_not_last_longer() {
        let begin = Instant::now();
        let at = |secs| begin + Duration::from_secs(secs);
        let first = Lease::new(begin, 30, true).unwrap();
        assert!(Lease::new(at(20), 30, true).unwrap().outlasts(&first));
        assert!(Lease::new(at(20), 11, true).unwrap().outlasts(&first));
        let later = at(20) + Duration::from_millis(400);
        assert!(!Lease::new(later, 10, true).unwrap().outlasts(&first));
        assert!(!Lease::new(at(20), 9, true).unwrap().outlasts(&first));
    }

    #[test]
    fn whoever_looks_after_a_token_is_warned_once_for_each_lease() {
        let token = Token::new(Zeroizing::new("t".into()), None);
        assert!(token.is_first_warning());
        assert!(!token.is_first_warning());
        let lease = Lease::new(Instant::now(), 30, true).unwrap();
        assert!(token.lasting(lease).is_first_warning());
    }

    #[test]
    fn a_token_is_not_shown() {
        let token = Token::new(Zeroizing::new("hunter2".into()), None);
        assert!(!format!("{token:?}").contains("hunter2"));
        assert!(!token.has_ended());
    }
}
