//! When the state of a plan is read after a termination.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Waits between two reads: the first one, doubled up to the longest one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The last read begins a tenth of the time, and at most this, before time is up.
const FOR_THE_LAST_READ: Duration = Duration::from_secs(1);
/// Longer than any process runs.
const ENDLESS: Duration = Duration::from_secs(30 * 365 * 86_400);

/// The times of the reads. The first one is now, and the last one shortly before time is up.
#[derive(Debug)]
pub(crate) struct StateReads {
    wait: Duration,
    last: Instant,
    deadline: Instant,
}

impl StateReads {
    /// Begins now.
    pub(crate) fn within(time: Duration) -> Self {
        let (begin, time) = (Instant::now(), time.min(ENDLESS));
        let deadline = begin + time;
        let last = deadline - (time / 10).min(FOR_THE_LAST_READ);
        Self { wait: FIRST_WAIT, last, deadline }
    }

    /// Returns when time is up.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits until the next read is due; returns `false` if the last one was made.
    pub(crate) async fn next(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.last {
            return false;
        }
        sleep_until((now + self.wait).min(self.last)).await;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns when the state is read, if reading takes no time.
    async fn reads(within: Duration, at_most: usize) -> Vec<u128> {
        let begin = Instant::now();
        let (mut reads, mut at) = (StateReads::within(within), vec![0]);
        while at.len() < at_most && reads.next().await {
            at.push(begin.elapsed().as_millis());
        }
        at
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_read_is_shortly_before_time_is_up() {
        let early = [0, 100, 300, 700, 1500, 3100, 6300];
        let all = [&early[..], &[10_000]].concat();
        assert_eq!(reads(Duration::from_secs(11), 99).await, all);
        assert_eq!(reads(Duration::from_secs(1), 99).await, [0, 100, 300, 700, 900]);
        assert_eq!(reads(Duration::ZERO, 99).await, [0]);
        assert_eq!(reads(Duration::MAX, 7).await, early, "no overflow");
    }
}
