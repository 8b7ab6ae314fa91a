//! Calls that were refused by a limit of this process.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::call_context::CallContext;

/// The limit that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overload {
    /// Too many calls were running, and too many were waiting.
    Calls,
    /// The rate limit of the interface allows no request within the time of the call.
    Rate,
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Calls => "too many calls are waiting",
            Self::Rate => "the rate limit leaves no room in time",
        })
    }
}

/// A limit of this process refused the call. Nothing of this attempt was sent.
#[derive(Debug)]
pub struct OverloadError {
    pub(super) call: Box<CallContext>,
    overload: Overload,
    retry_after: Option<Duration>,
}

impl OverloadError {
    /// Creates an error from the limit and the time after which to retry, for custom transports.
    pub fn new(call: CallContext, overload: Overload, retry_after: Option<Duration>) -> Self {
        Self { call: Box::new(call), overload, retry_after }
    }

    /// Returns the limit that was exceeded.
    pub fn overload(&self) -> Overload {
        self.overload
    }

    /// Returns the time after which a retry is worthwhile, if known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns what to do. An earlier attempt of the call that may have been carried out comes first.
    pub fn hint(&self) -> Cow<'static, str> {
        self.call.hint(self.last_hint())
    }

    fn last_hint(&self) -> &'static str {
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
