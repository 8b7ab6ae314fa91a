//! The progress of an attempt: what remains of it when its future is dropped by a timeout.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use wxpay_auth::{SerialNo, Timestamp};

use crate::connection::io::traffic::Traffic;
use crate::error::CallStage;
use crate::error::delivery::Delivery;

#[derive(Debug)]
pub(crate) struct Progress {
    deadline: Instant,
    stage: AtomicU8,
    /// Whether a connection is being opened.
    is_connecting: AtomicBool,
    signed: OnceLock<SignedBy>,
    sending: OnceLock<Sending>,
}

/// The key that signed the request, and the timestamp in the message.
#[derive(Debug, Clone)]
pub(crate) struct SignedBy {
    pub(crate) serial_no: SerialNo,
    pub(crate) signed_at: Timestamp,
    /// When the clock read that.
    pub(crate) at: Instant,
}

impl SignedBy {
    /// Returns the time, without asking the clock of the application again.
    pub(crate) fn now(&self) -> Timestamp {
        let seconds = self.signed_at.as_unix_secs().saturating_add(self.at.elapsed().as_secs());
        Timestamp::from_unix_secs(seconds)
    }
}

/// The byte counter of the connection in use, and its value before the request.
#[derive(Debug)]
struct Sending {
    traffic: Traffic,
    before: u64,
    since: Instant,
}

impl Progress {
    pub(crate) fn new(deadline: Instant) -> Self {
        Self {
            deadline,
            stage: AtomicU8::new(0),
            is_connecting: AtomicBool::new(false),
            signed: OnceLock::new(),
            sending: OnceLock::new(),
        }
    }

    /// Returns the deadline of the attempt.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Records that a connection is being opened, or has been.
    pub(crate) fn connecting(&self, is_connecting: bool) {
        self.is_connecting.store(is_connecting, Ordering::Relaxed);
    }

    pub(crate) fn is_connecting(&self) -> bool {
        self.is_connecting.load(Ordering::Relaxed)
    }

    /// Records that the request was signed.
    pub(crate) fn signed(&self, serial_no: SerialNo, signed_at: Timestamp, at: Instant) {
        // An attempt signs once.
        let _ = self.signed.set(SignedBy { serial_no, signed_at, at });
    }

    /// Returns the signing key; `None` before signing.
    pub(crate) fn signed_by(&self) -> Option<&SignedBy> {
        self.signed.get()
    }

    /// Returns the time since sending began.
    pub(crate) fn since_sending(&self) -> Option<Duration> {
        self.sending.get().map(|sending| sending.since.elapsed())
    }

    /// Records that everything written on the connection from here on is the request.
    pub(crate) fn begin_sending(&self, traffic: &Traffic) {
        // An attempt sends once, so this is never set before.
        let (traffic, before) = (traffic.clone(), traffic.written());
        let _ = self.sending.set(Sending { traffic, before, since: Instant::now() });
        self.enter(CallStage::Waiting);
    }

    pub(crate) fn enter(&self, stage: CallStage) {
        let number = match stage {
            CallStage::Queueing | CallStage::Preparing => 0,
            CallStage::Waiting => 1,
            CallStage::Reading => 2,
            CallStage::Verifying => 3,
        };
        self.stage.store(number, Ordering::Relaxed);
    }

    pub(crate) fn stage(&self) -> CallStage {
        match self.stage.load(Ordering::Relaxed) {
            0 => CallStage::Preparing,
            1 => CallStage::Waiting,
            2 => CallStage::Reading,
            _ => CallStage::Verifying,
        }
    }

    /// Returns what an attempt that ended here delivered. Its connection must already be closed,
    /// otherwise more could be written afterwards.
    pub(crate) fn delivery(&self) -> Delivery {
        match self.sending.get() {
            Some(sending) if sending.traffic.written() != sending.before => Delivery::Unknown,
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
        let traffic = Traffic::default();
        traffic.add_written(700);
        assert_eq!(
            (progress.stage(), progress.delivery()),
            (CallStage::Preparing, Delivery::NotSent)
        );
        progress.begin_sending(&traffic);
        assert_eq!(
            (progress.stage(), progress.delivery()),
            (CallStage::Waiting, Delivery::NotSent)
        );
        traffic.add_written(1);
        assert_eq!(progress.delivery(), Delivery::Unknown);
        for stage in [CallStage::Reading, CallStage::Verifying] {
            progress.enter(stage);
            assert_eq!((progress.stage(), progress.delivery()), (stage, Delivery::Unknown));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_recorded_is_told() {
        const SECOND: Duration = Duration::from_secs(1);
        let (progress, begin) = (Progress::new(Instant::now() + SECOND), Instant::now());
        assert!(!progress.is_connecting() && progress.signed_by().is_none());
        progress.connecting(true);
        assert!(progress.is_connecting());
        progress.connecting(false);
        assert!(!progress.is_connecting());
        progress.signed(SerialNo::uncertified(), Timestamp::from_unix_secs(7), begin);
        tokio::time::sleep(SECOND).await;
        let signed_by = progress.signed_by().unwrap();
        assert_eq!((signed_by.signed_at.as_unix_secs(), signed_by.now().as_unix_secs()), (7, 8));
        assert_eq!(progress.since_sending(), None);
        progress.begin_sending(&Traffic::default());
        tokio::time::sleep(SECOND).await;
        assert_eq!(progress.since_sending(), Some(SECOND));
    }
}
