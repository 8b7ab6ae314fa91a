//! When certificates are downloaded again.

use std::time::Duration;

/// The shortest wait after a download, also if the list has only certificates that are of no use any more: a new one
/// that signs before the next download is noticed by its serial.
const SHORTEST: Duration = Duration::from_secs(600);

/// The wait after the first failure, and the longest one.
const AFTER_FIRST_FAILURE: Duration = Duration::from_secs(60);
const LONGEST_AFTER_FAILURE: Duration = Duration::from_secs(3600);

/// Returns how long to wait after a download: less than the interval, and a quarter of the time for which there is a
/// certificate of use, so that there are several attempts before it ends.
///
/// `jitter` is from 0 to 1: merchants that began together do not stay together.
pub(super) fn after_success(interval: Duration, covered: Duration, jitter: f64) -> Duration {
    let spread = jitter.clamp(0.0, 1.0).mul_add(0.2, 0.75);
    interval.min(covered / 4).mul_f64(spread).max(SHORTEST.min(interval))
}

/// Returns how long to wait after this many failures in a row, or unchanged lists without a certificate of use: twice as long each time, from one minute to one hour.
pub(super) fn after_failure(interval: Duration, failures: u32, jitter: f64) -> Duration {
    let doubled = AFTER_FIRST_FAILURE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let longest = doubled.min(LONGEST_AFTER_FAILURE).min(interval);
    longest.mul_f64(jitter.clamp(0.0, 1.0).mul_add(0.5, 0.5))
}

/// Returns how long to wait in public-key mode, if the refusal was not verified: about a day.
pub(super) fn probe(interval: Duration, jitter: f64) -> Duration {
    const DAY: Duration = Duration::from_secs(86_400);
    DAY.max(interval).mul_f64(jitter.clamp(0.0, 1.0).mul_add(0.2, 0.8))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_A_DAY: Duration = Duration::from_secs(12 * 3600);
    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    #[test]
    fn it_is_always_below_the_interval() {
        for jitter in [0.0, 0.5, 1.0] {
            let wait = after_success(HALF_A_DAY, YEAR, jitter);
            assert!(wait < HALF_A_DAY && wait >= HALF_A_DAY / 4 * 3, "{wait:?}");
        }
        assert_ne!(after_success(HALF_A_DAY, YEAR, 0.1), after_success(HALF_A_DAY, YEAR, 0.9));
    }

    #[test]
    fn it_is_sooner_as_the_end_comes_nearer() {
        let wait = |covered| after_success(HALF_A_DAY, Duration::from_secs(covered), 1.0);
        assert!(wait(86_400) < Duration::from_secs(86_400 / 4));
        assert!(wait(3600) < Duration::from_secs(900) && wait(3600) > Duration::from_secs(600));
        assert_eq!(wait(0), SHORTEST, "and not all the time");
        let short = Duration::from_secs(5);
        assert!(after_success(short, YEAR, 1.0) <= short, "an interval of a test is kept");
    }

    #[test]
    fn a_probe_is_about_a_day_away() {
        for jitter in [0.0, 0.5, 1.0] {
            let wait = probe(HALF_A_DAY, jitter);
            assert!(wait > HALF_A_DAY && wait <= 2 * HALF_A_DAY, "{wait:?}");
        }
    }

    #[test]
    fn failures_are_repeated_less_and_less_often() {
        let wait = |failures| after_failure(HALF_A_DAY, failures, 1.0);
        assert_eq!(wait(1), Duration::from_secs(60));
        assert_eq!(wait(2), Duration::from_secs(120));
        assert_eq!(wait(5), Duration::from_secs(960));
        for failures in [7, 20, u32::MAX] {
            assert_eq!(wait(failures), LONGEST_AFTER_FAILURE);
        }
        assert_eq!(after_failure(HALF_A_DAY, 1, 0.0), Duration::from_secs(30));
        assert_eq!(after_failure(Duration::from_secs(9), 9, 1.0), Duration::from_secs(9));
    }
}
