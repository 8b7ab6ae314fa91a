//! The wait before the next attempt, and the randomness that keeps many processes apart.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

/// Maximum wait before the second attempt.
const FIRST: Duration = Duration::from_millis(50);
/// The same if the service throttles: quotas are counted per second.
const FIRST_THROTTLED: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(2);

/// Returns the wait after a failure, counted from 1: exponential with full jitter, so that callers
/// that failed together do not retry together.
pub(crate) fn backoff(failure: u32) -> Duration {
    longest(FIRST, failure).mul_f64(random())
}

/// Returns the wait after throttling without a `Retry-After`, counted from 1: at least half of the
/// exponential maximum.
pub(crate) fn backoff_throttled(time: u32) -> Duration {
    longest(FIRST_THROTTLED, time).mul_f64(0.5 + random() / 2.0)
}

/// Returns a random number between 0 and 1.
pub(crate) fn random() -> f64 {
    let mut random = [0; 4];
    // Without randomness, the longest wait.
    let _ = SystemRandom::new().fill(&mut random).map_err(|_| random = [0xff; 4]);
    f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX)
}

fn longest(first: Duration, failure: u32) -> Duration {
    first.saturating_mul(1 << failure.saturating_sub(1).min(16)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_a_bound() {
        let millis: Vec<_> = (0..9).map(|failure| longest(FIRST, failure).as_millis()).collect();
        assert_eq!(millis, [50, 50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(longest(FIRST, u32::MAX), LONGEST);
    }

    #[test]
    fn it_is_spread_over_all_of_the_time() {
        let (waits, longest): (Vec<_>, _) =
            ((0..1000).map(|_| backoff(3)).collect(), longest(FIRST, 3));
        assert!(waits.iter().all(|wait| *wait <= longest));
        assert!(waits.iter().any(|wait| *wait < longest / 4));
        assert!(waits.iter().any(|wait| *wait > longest * 3 / 4));
    }

    #[test]
    fn a_quota_gets_half_a_second_at_least() {
        for (time, least, most) in [(1, 500, 1000), (2, 1000, 2000), (99, 1000, 2000)] {
            let waits: Vec<_> = (0..1000).map(|_| backoff_throttled(time).as_millis()).collect();
            assert!(waits.iter().all(|wait| (least..=most).contains(wait)), "{waits:?}");
            let middle = u128::midpoint(least, most);
            assert!(waits.iter().any(|wait| *wait < middle), "{waits:?}");
            assert!(waits.iter().any(|wait| *wait > middle), "{waits:?}");
        }
    }
}
