//! What a call requires of one attempt.

use std::time::Duration;

use tokio::time::Instant;

use crate::domains::domain::Domain;
use crate::error::{CallContext, Error, TimeoutKind};
use crate::message::request::Request;
use crate::message::response::Response;
use crate::panics::Panic;

/// Makes single attempts, each within its deadline.
pub(crate) trait Attempts: Sync {
    /// Makes one attempt and returns its result, or the panic of application code before anything was sent.
    fn attempt(
        &self,
        domain: &Domain,
        plan: &AttemptPlan,
        request: &Request,
    ) -> impl Future<Output = Result<Result<Response, Error>, Panic>> + Send;
}

/// How one attempt is made.
#[derive(Debug)]
pub(crate) struct AttemptPlan {
    pub(crate) call: CallContext,
    /// When the attempt ends, which timeout that is, and how long it is.
    pub(crate) end: Instant,
    pub(crate) limit: TimeoutKind,
    pub(crate) after: Duration,
    /// Whether it needs an unused connection.
    pub(crate) fresh: bool,
}
