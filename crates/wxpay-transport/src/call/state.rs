//! What a call knows of itself between its attempts.

use tokio::time::Instant;

use crate::error::delivery::Outcome;
use crate::error::{Error, RefusedWith};
use crate::message::request::Request;
use crate::message::response::Response;
use crate::observe::call_span::CallSpan;

/// What a call knows of itself between its attempts.
pub(crate) struct CallState<'c> {
    pub(crate) request: &'c Request,
    pub(crate) identity: &'c str,
    /// Where it is noted how the call goes.
    pub(crate) span: &'c CallSpan,
    pub(crate) deadline: Instant,
    /// How many attempts have begun.
    pub(crate) attempts: u32,
    /// One of them may have been carried out.
    pub(crate) is_unknown: bool,
    /// The last one was refused on a connection that had carried another request, so that the refusal may
    /// be the response to that.
    pub(crate) unconfirmed: Option<RefusedWith>,
    /// It has moved to the other domain without having been sent.
    pub(crate) has_moved: bool,
}

impl CallState<'_> {
    /// Compares how an attempt ended with the refusal that it was to confirm. Where it was refused for another
    /// reason, or not at all, the attempt before may have been carried out.
    pub(crate) fn confirm(&mut self, ended: &mut Result<Response, Error>) {
        if let Some(refusal) = self.unconfirmed.take() {
            match ended {
                Err(Error::Api(error)) if error.confirms(&refusal) && !self.is_unknown => {
                    error.settle();
                }
                // Nothing was heard, and nothing was asked: the next attempt may still confirm it.
                Err(error) if error.last_outcome() == Outcome::NotSent => {
                    self.unconfirmed = Some(refusal);
                }
                _ => self.is_unknown = true,
            }
        }
        if let Err(Error::Api(error)) = ended
            && error.is_unconfirmed()
        {
            self.unconfirmed = Some(error.refused_with());
        }
    }
}
