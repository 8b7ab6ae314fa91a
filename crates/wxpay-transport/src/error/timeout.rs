//! Calls that took too long.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use super::ASK;
use super::call_context::CallContext;
use crate::error::delivery::Delivery;

/// Names the time-out that ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// The time to connect.
    Connect,
    /// The time of one attempt.
    Attempt,
    /// The time of the whole call.
    Call,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Attempt => "attempt",
            Self::Call => "call",
        })
    }
}

/// Names what a call was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// It was waiting for its turn: too many calls ran at the same time.
    Queueing,
    /// It was connecting, or signing meanwhile.
    Preparing,
    /// It was sending the request, or waiting for the response.
    Waiting,
    /// It was reading the body of the response.
    Reading,
    /// It was verifying the response.
    Verifying,
}

impl fmt::Display for Stage {
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

/// Says that time ran out.
#[derive(Debug)]
pub struct TimeoutError {
    pub(super) call: Box<CallContext>,
    limit: Limit,
    after: Duration,
    stage: Stage,
    delivery: Delivery,
    /// No connection had come about by then.
    pub(crate) is_connecting: bool,
    /// Which addresses did not answer, where they are known.
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl TimeoutError {
    /// Says that a call took longer than the time-out `limit`, which is `after` long, and what it was doing.
    /// For transports of one's own.
    pub fn new(
        call: CallContext,
        limit: Limit,
        after: Duration,
        stage: Stage,
        delivery: Delivery,
    ) -> Self {
        let (call, is_connecting) = (Box::new(call), false);
        Self { call, limit, after, stage, delivery, is_connecting, source: None }
    }

    /// Notes whether it was the connection that had not come about.
    pub(crate) fn while_connecting(mut self, is_connecting: bool) -> Self {
        self.is_connecting = is_connecting;
        self
    }

    /// Notes what had been tried by then.
    pub(crate) fn with_source(mut self, source: Box<dyn StdError + Send + Sync>) -> Self {
        self.source = Some(source);
        self
    }

    /// Returns which time-out ran out.
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Returns how long that time-out is.
    pub fn after(&self) -> Duration {
        self.after
    }

    /// Returns what the call was doing.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Says whether anything had been sent, by this attempt or by an earlier one.
    pub fn delivery(&self) -> Delivery {
        match self.delivery {
            Delivery::NotSent if self.call.earlier_unknown => Delivery::Unknown,
            delivery => delivery,
        }
    }

    /// Says whether this attempt sent anything.
    pub(crate) fn last_delivery(&self) -> Delivery {
        self.delivery
    }

    /// Says what to do.
    pub fn hint(&self) -> &'static str {
        match self.delivery() {
            Delivery::NotSent => "nothing was sent: check network and signer, then try again",
            Delivery::Answered | Delivery::Unknown => ASK,
        }
    }
}

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, limit, after, stage, .. } = self;
        write!(f, "{} took longer than {after:?} ({limit} time-out), {stage}", call.operation)
    }
}

impl StdError for TimeoutError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}
