//! The state of a call between its attempts.

use tokio::time::Instant;

use crate::error::Error;
use crate::error::delivery::Outcome;
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
}
