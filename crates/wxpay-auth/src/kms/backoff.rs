//! How long to wait before a service is asked again.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

/// Before the second attempt, at most.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Returns how long to wait after the attempt with this number, counted from 1: exponential, with
/// full jitter, so that callers who failed together do not come back together.
pub(super) fn backoff(attempt: u32) -> Duration {
    let mut random = [0; 4];
    // Without randomness it is the longest wait.
    let _ = SystemRandom::new().fill(&mut random).map_err(|_| random = [0xff; 4]);
    let part = f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX);
    longest(attempt).mul_f64(part)
}

fn longest(attempt: u32) -> Duration {
    FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_a_bound() {
        let millis: Vec<_> = (0..9).map(|attempt| longest(attempt).as_millis()).collect();
        assert_eq!(millis, [50, 50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(longest(u32::MAX), LONGEST);
    }

    #[test]
    fn it_is_spread_over_all_of_the_time() {
        let waits: Vec<_> = (0..1000).map(|_| backoff(3)).collect();
        assert!(waits.iter().all(|wait| *wait <= longest(3)));
        assert!(waits.iter().any(|wait| *wait < longest(3) / 4));
        assert!(waits.iter().any(|wait| *wait > longest(3) * 3 / 4));
    }
}
