//! The lateness of a 1 ms timer on the runtime that makes the calls: what the calls leave of the runtime to
//! other tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::percentile::{percentile, sorted};

const PERIOD: Duration = Duration::from_millis(1);

/// A repeating timer.
pub struct Timer {
    done: Arc<AtomicBool>,
    task: JoinHandle<Vec<f64>>,
}

impl Timer {
    /// Starts the timer.
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

    /// Stops it, and returns the 99th percentile of its lateness in microseconds. The timer has a
    /// resolution of 1 ms.
    pub async fn stop(self) -> crate::Result<f64> {
        self.done.store(true, Ordering::Relaxed);
        Ok(percentile(&sorted(self.task.await?), 0.99))
    }
}
