//! Calls that had to wait for too long in this process.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::call_context::CallContext;

/// Names what there was too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overload {
    /// Too many calls ran, and too many waited.
    Calls,
    /// The rate limit of the interface left no room within the time of the call.
    Rate,
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Calls => "too many calls wait already",
            Self::Rate => "the rate limit leaves no room in time",
        })
    }
}

/// Says that a call was turned away in this process. Nothing was sent.
#[derive(Debug)]
pub struct OverloadError {
    pub(super) call: Box<CallContext>,
    overload: Overload,
    retry_after: Option<Duration>,
}

impl OverloadError {
    /// Says that a call was turned away, and after which time it is worth trying again. For transports of one's own.
    pub fn new(call: CallContext, overload: Overload, retry_after: Option<Duration>) -> Self {
        Self { call: Box::new(call), overload, retry_after }
    }

    /// Returns what there was too much of.
    pub fn overload(&self) -> Overload {
        self.overload
    }

    /// Returns after which time it is worth trying again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Says what to do.
    pub fn hint(&self) -> &'static str {
        match self.overload {
            Overload::Calls => {
                "nothing was sent: call less often, or raise max_concurrent_calls and max_queued_calls"
            }
            Overload::Rate => {
                "nothing was sent: spread the calls; WeChat Pay limits this interface for the mchid"
            }
        }
    }
}

impl fmt::Display for OverloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call.operation, self.overload)
    }
}

impl StdError for OverloadError {}
