//! Connections that broke.

use std::error::Error as StdError;
use std::fmt;

use thiserror::Error;

use super::ASK;
use super::call_context::CallContext;
use crate::error::delivery::Delivery;

/// Names how a connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExchangeFault {
    /// The server closed the connection before its response.
    Closed,
    /// The connection was reset, or another error of the network occurred.
    Broken,
    /// What came back is no HTTP response.
    NotHttp,
}

impl fmt::Display for ExchangeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the server closed the connection before its response",
            Self::Broken => "the connection broke",
            Self::NotHttp => "what came back is no http response",
        })
    }
}

/// Says that code of the application panicked while the response was dealt with.
#[derive(Debug, Error)]
#[error("code of the application panicked")]
struct Panicked;

/// Says that the connection broke while the request was sent or the response awaited.
#[derive(Debug)]
pub struct ExchangeError {
    pub(super) call: Box<CallContext>,
    fault: ExchangeFault,
    delivery: Delivery,
    is_stale: bool,
    source: Box<dyn StdError + Send + Sync>,
}

impl ExchangeError {
    /// Says how the connection broke, and whether anything had been sent by then. For transports of one's own.
    pub fn new(
        call: CallContext,
        fault: ExchangeFault,
        delivery: Delivery,
        source: Box<dyn StdError + Send + Sync>,
    ) -> Self {
        Self { call: Box::new(call), fault, delivery, is_stale: false, source }
    }

    pub(crate) fn of_hyper(
        call: CallContext,
        delivery: Delivery,
        is_stale: bool,
        error: hyper::Error,
    ) -> Self {
        let fault = if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            ExchangeFault::Closed
        } else if error.is_parse() {
            ExchangeFault::NotHttp
        } else {
            ExchangeFault::Broken
        };
        let is_stale = is_stale && fault != ExchangeFault::NotHttp;
        Self { call: Box::new(call), fault, delivery, is_stale, source: Box::new(error) }
    }

    /// The response was not dealt with to the end.
    pub(crate) fn panicked(call: CallContext, delivery: Delivery) -> Self {
        Self::new(call, ExchangeFault::Broken, delivery, Box::new(Panicked))
    }

    /// Returns how it broke.
    pub fn fault(&self) -> ExchangeFault {
        self.fault
    }

    /// Tells whether it was a kept connection, on which not a byte of a response came: most likely
    /// WeChat Pay had closed it before the request. HTTP/1.1 cannot say so for certain, so the outcome
    /// is as unknown as any other when a byte of the request was written.
    pub fn is_stale(&self) -> bool {
        self.is_stale
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
            Delivery::NotSent => "nothing was sent: try again",
            Delivery::Answered | Delivery::Unknown => ASK,
        }
    }
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call.operation, self.fault)
    }
}

impl StdError for ExchangeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}
