//! Stops a run from outside.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// Stops a run: it takes up no more plans, and finishes those in flight. Clones stop the same run.
#[derive(Debug, Clone, Default)]
pub struct StopHandle {
    is_stopped: Arc<watch::Sender<bool>>,
}

impl StopHandle {
    /// Stops the run, and every later one of the same [`BulkTermination`](super::BulkTermination).
    pub fn stop(&self) {
        self.is_stopped.send_replace(true);
    }

    /// Returns whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        *self.is_stopped.borrow()
    }

    /// Waits for this long, or until it is stopped. Returns whether it is stopped.
    pub(super) async fn pause(&self, time: Duration) -> bool {
        let mut stopped = self.is_stopped.subscribe();
        let _ = timeout(time, stopped.wait_for(|is_stopped| *is_stopped)).await;
        self.is_stopped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_ends_when_it_is_stopped() {
        let stop = StopHandle::default();
        assert!(!stop.pause(Duration::from_secs(1)).await);
        let pausing = tokio::spawn({
            let stop = stop.clone();
            async move { stop.pause(Duration::from_secs(1_000_000)).await }
        });
        let begin = tokio::time::Instant::now();
        stop.stop();
        assert!(pausing.await.unwrap());
        assert!(begin.elapsed() < Duration::from_secs(1_000_000));
        assert!(stop.pause(Duration::from_secs(1_000_000)).await);
    }
}
