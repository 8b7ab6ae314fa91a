//! Calls that timed out.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::call_context::CallContext;
use crate::error::delivery::Delivery;

/// The timeout that expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// The connect timeout.
    Connect,
    /// The attempt timeout.
    Attempt,
    /// The call timeout.
    Call,
    /// The timeout of a download.
    Download,
}

impl fmt::Display for TimeoutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Attempt => "attempt",
            Self::Call => "call",
            Self::Download => "download",
        })
    }
}

/// What a call was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallStage {
    /// Waiting for its turn: too many calls were running.
    Queueing,
    /// Connecting, or signing meanwhile.
    Preparing,
    /// Sending the request, or waiting for the response.
    Waiting,
    /// Reading the body of the response.
    Reading,
    /// Verifying the response.
    Verifying,
}

impl fmt::Display for CallStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queueing => "waiting for its turn",
            Self::Preparing => "connecting and signing",
            Self::Waiting => "waiting for the response",
            Self::Reading => "reading the response",
            Self::Verifying => "verifying the response",
        })
    }
}

/// A timeout expired.
#[derive(Debug)]
pub struct TimeoutError {
    pub(super) call: Box<CallContext>,
    limit: TimeoutKind,
    after: Duration,
    stage: CallStage,
    delivery: Delivery,
    /// Whether the connection was still being opened.
    pub(crate) is_connecting: bool,
    /// Which addresses did not respond, if known.
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl TimeoutError {
    /// Creates an error: the call exceeded the timeout `limit`, which is `after` long, during `stage`.
    /// For custom transports.
    pub fn new(
        call: CallContext,
        limit: TimeoutKind,
        after: Duration,
        stage: CallStage,
        delivery: Delivery,
    ) -> Self {
        let (call, is_connecting) = (Box::new(call), false);
        Self { call, limit, after, stage, delivery, is_connecting, source: None }
    }

    /// Records whether the connection was still being opened.
    pub(crate) fn while_connecting(mut self, is_connecting: bool) -> Self {
        self.is_connecting = is_connecting;
        self
    }

    /// Adds what had been tried by then.
    pub(crate) fn with_source(mut self, source: Box<dyn StdError + Send + Sync>) -> Self {
        self.source = Some(source);
        self
    }

    /// Returns which timeout expired.
    pub fn kind(&self) -> TimeoutKind {
        self.limit
    }

    /// Returns the length of that timeout.
    pub fn after(&self) -> Duration {
        self.after
    }

    /// Returns what the call was doing.
    pub fn stage(&self) -> CallStage {
        self.stage
    }

    /// Returns whether anything was sent, by this attempt or an earlier one.
    pub fn delivery(&self) -> Delivery {
        match self.delivery {
            Delivery::NotSent if self.call.earlier_unknown => Delivery::Unknown,
            delivery => delivery,
        }
    }

    /// Returns whether this attempt sent anything.
    pub(crate) fn last_delivery(&self) -> Delivery {
        self.delivery
    }

    /// Returns what to do. An earlier attempt of the call that may have been carried out comes first.
    pub fn hint(&self) -> Cow<'static, str> {
        self.call.hint(self.last_hint())
    }

    fn last_hint(&self) -> &'static str {
        match (self.delivery, self.stage) {
            // A longer queue would not have helped.
            (Delivery::NotSent, CallStage::Queueing) => {
                "nothing was sent: call less often, or raise max_concurrent_calls"
            }
            (Delivery::NotSent, _) => "nothing was sent: check network and signer, then try again",
            (Delivery::Answered | Delivery::Unknown, _) => self.call.ask(),
        }
    }
}

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, limit, after, stage, .. } = self;
        write!(f, "{} took longer than {after:?} ({limit} timeout), {stage}", call.operation)
    }
}

impl StdError for TimeoutError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::replay::Replay;

    #[test]
    fn a_call_that_got_no_turn_is_not_told_to_check_what_it_did_not_use() {
        let hint = |stage| {
            let call = CallContext::first("x", "h", Replay::Keyed);
            let after = Duration::from_secs(9);
            TimeoutError::new(call, TimeoutKind::Call, after, stage, Delivery::NotSent).hint()
        };
        let queueing = hint(CallStage::Queueing);
        assert!(queueing.contains("max_concurrent_calls"), "{queueing}");
        assert!(!queueing.contains("network") && !queueing.contains("signer"), "{queueing}");
        assert!(hint(CallStage::Preparing).contains("check network and signer"));
    }
}
