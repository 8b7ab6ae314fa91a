//! How late a 1 ms timer comes on the runtime on which the calls are made: what is left of the
//! runtime for everybody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::percentile::{percentile, sorted};

const PERIOD: Duration = Duration::from_millis(1);

/// A timer that goes off again and again.
pub struct Timer {
    done: Arc<AtomicBool>,
    task: JoinHandle<Vec<f64>>,
}

impl Timer {
    /// Starts it.
    pub fn start() -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn({
            let done = Arc::clone(&done);
            async move {
                let mut late_us = Vec::with_capacity(4096);
                while !done.load(Ordering::Relaxed) {
                    let before = Instant::now();
                    tokio::time::sleep(PERIOD).await;
                    late_us.push(before.elapsed().saturating_sub(PERIOD).as_secs_f64() * 1e6);
                }
                late_us
            }
        });
        Self { done, task }
    }

    /// Stops it, and returns the 99th percentile of its lateness in microseconds. The timer itself is
    /// as coarse as 1 ms.
    pub async fn stop(self) -> crate::Result<f64> {
        self.done.store(true, Ordering::Relaxed);
        Ok(percentile(&sorted(self.task.await?), 0.99))
    }
}
