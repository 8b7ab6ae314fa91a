//! The state of a call between its attempts.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::delivery::Outcome;
use crate::error::{Error, TimeoutKind};
use crate::message::replay::Replay;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::observe::call_span::CallSpan;

/// The state of a call between its attempts.
pub(crate) struct CallState<'c> {
    pub(crate) request: &'c Request,
    pub(crate) identity: &'c str,
    /// The span that records the progress of the call.
    pub(crate) span: &'c CallSpan,
    pub(crate) deadline: Instant,
    /// Which timeout the deadline is, and how long it is.
    pub(crate) limit: TimeoutKind,
    pub(crate) timeout: Duration,
    /// Number of attempts begun.
    pub(crate) attempts: u32,
    /// Whether an attempt may have been carried out.
    pub(crate) is_unknown: bool,
    /// Whether the last attempt was refused on a connection that carried another request before: it may be the
    /// response to that request.
    pub(crate) is_unconfirmed: bool,
    /// Whether the call has moved to the other domain unsent.
    pub(crate) has_moved: bool,
}

/// Time reserved for an attempt when a call waits; at most a quarter of its timeout.
const FOR_ATTEMPT: Duration = Duration::from_secs(1);

impl CallState<'_> {
    /// Records what the result of an attempt says about an earlier one that was refused, if its refusal may be the
    /// response to another request: it may have been carried out. A refused query is settled by its own error.
    pub(crate) fn confirm(&mut self, ended: &Result<Response, Error>) {
        match ended.as_ref().map_err(Error::last_outcome) {
            // No response came and nothing was sent: the next attempt may still confirm it.
            Err(Outcome::NotSent) => {}
            Err(Outcome::Rejected) if self.request.replay() == Replay::Safe => {
                self.is_unconfirmed = false;
            }
            _ => self.is_unknown |= std::mem::take(&mut self.is_unconfirmed),
        }
        if let Err(Error::Api(error)) = ended {
            self.is_unconfirmed |= error.is_unconfirmed();
        }
    }

    /// Returns how long the call may wait before its next attempt. An attempt that began with no time left
    /// would be sent, and its outcome never known.
    pub(crate) fn time_to_wait(&self) -> Duration {
        let for_attempt = FOR_ATTEMPT.min(self.timeout / 4);
        self.deadline.saturating_duration_since(Instant::now()).saturating_sub(for_attempt)
    }
}
