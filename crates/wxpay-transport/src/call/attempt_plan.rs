//! What a call asks of one attempt.

use std::time::Duration;

use tokio::time::Instant;

use crate::domains::domain::Domain;
use crate::error::{CallContext, Error, Limit};
use crate::message::request::Request;
use crate::message::response::Response;
use crate::panics::Panic;

/// Makes single attempts, each within its time.
pub(crate) trait Attempts: Sync {
    /// Makes one, and tells how it ended; or that code of the application panicked with nothing sent.
    fn attempt(
        &self,
        domain: &Domain,
        plan: &AttemptPlan,
        request: &Request,
    ) -> impl Future<Output = Result<Result<Response, Error>, Panic>> + Send;
}

/// An attempt as it is to be made.
#[derive(Debug)]
pub(crate) struct AttemptPlan {
    pub(crate) call: CallContext,
    /// When it ends, which time-out that is, and how long.
    pub(crate) end: Instant,
    pub(crate) limit: Limit,
    pub(crate) after: Duration,
    /// It needs a connection of its own.
    pub(crate) fresh: bool,
}
