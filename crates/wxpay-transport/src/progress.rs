//! How far an attempt has come: what remains of it when its future is dropped by a time-out.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::time::Instant;

use crate::delivery::Delivery;
use crate::error::Stage;
use crate::stream::Written;

#[derive(Debug)]
pub(crate) struct Progress {
    deadline: Instant,
    stage: AtomicU8,
    /// The counter of the connection in use, and where it stood before the request.
    sending: OnceLock<(Written, u64)>,
}

impl Progress {
    pub(crate) fn new(deadline: Instant) -> Self {
        Self { deadline, stage: AtomicU8::new(0), sending: OnceLock::new() }
    }

    /// Returns when the attempt must have ended.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Notes that from here on, what is written on the connection is the request.
    pub(crate) fn begin_sending(&self, written: &Written) {
        // An attempt sends once, so this is the first and only time.
        let _ = self.sending.set((written.clone(), written.bytes()));
        self.enter(Stage::Waiting);
    }

    pub(crate) fn enter(&self, stage: Stage) {
        let number = match stage {
            Stage::Preparing => 0,
            Stage::Waiting => 1,
            Stage::Reading => 2,
            Stage::Verifying => 3,
        };
        self.stage.store(number, Ordering::Relaxed);
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Preparing,
            1 => Stage::Waiting,
            2 => Stage::Reading,
            _ => Stage::Verifying,
        }
    }

    /// Tells what an attempt that ended here delivered. Its connection must be closed by now, or
    /// more could be written afterwards.
    pub(crate) fn delivery(&self) -> Delivery {
        match self.sending.get() {
            Some((written, before)) if written.bytes() != *before => Delivery::Unknown,
            _ => Delivery::NotSent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bytes_written_since_the_request_began_count() {
        let progress = Progress::new(Instant::now());
        let written = Written::default();
        written.add(700);
        assert_eq!((progress.stage(), progress.delivery()), (Stage::Preparing, Delivery::NotSent));
        progress.begin_sending(&written);
        assert_eq!((progress.stage(), progress.delivery()), (Stage::Waiting, Delivery::NotSent));
        written.add(1);
        assert_eq!(progress.delivery(), Delivery::Unknown);
        for stage in [Stage::Reading, Stage::Verifying] {
            progress.enter(stage);
            assert_eq!((progress.stage(), progress.delivery()), (stage, Delivery::Unknown));
        }
    }
}
