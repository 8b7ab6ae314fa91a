//! Connections that failed during an exchange.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use thiserror::Error;

use super::call_context::CallContext;
use crate::error::delivery::Delivery;

/// How a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExchangeFault {
    /// The server closed the connection before sending its response.
    Closed,
    /// The connection was reset, or another network error occurred.
    Broken,
    /// The data received is not an HTTP response.
    NotHttp,
}

impl fmt::Display for ExchangeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the server closed the connection before its response",
            Self::Broken => "the connection broke",
            Self::NotHttp => "the data received is not an http response",
        })
    }
}

/// Application code panicked while the response was processed.
#[derive(Debug, Error)]
#[error("code of the application panicked")]
struct Panicked;

/// The connection failed while the request was sent or the response awaited.
#[derive(Debug)]
pub struct ExchangeError {
    pub(super) call: Box<CallContext>,
    fault: ExchangeFault,
    delivery: Delivery,
    is_stale: bool,
    source: Box<dyn StdError + Send + Sync>,
}

impl ExchangeError {
    /// Creates an error from the fault, and whether anything had been sent by then, for custom transports.
    pub fn new(
        call: CallContext,
        fault: ExchangeFault,
        delivery: Delivery,
        source: Box<dyn StdError + Send + Sync>,
    ) -> Self {
        Self { call: Box::new(call), fault, delivery, is_stale: false, source }
    }

    /// Marks the connection as one that was kept, and on which not a byte of a response arrived.
    #[must_use]
    pub fn stale(mut self) -> Self {
        self.is_stale = true;
        self
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

    /// Creates the error of a response that was not processed completely.
    pub(crate) fn panicked(call: CallContext, delivery: Delivery) -> Self {
        Self::new(call, ExchangeFault::Broken, delivery, Box::new(Panicked))
    }

    /// Returns how the connection failed.
    pub fn fault(&self) -> ExchangeFault {
        self.fault
    }

    /// Returns whether this was a kept connection on which not a byte of a response arrived: most likely
    /// WeChat Pay had closed it before the request. HTTP/1.1 cannot tell for certain, so the outcome is
    /// unknown like any other if a byte of the request was written.
    pub fn is_stale(&self) -> bool {
        self.is_stale
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
        match self.delivery {
            Delivery::NotSent => "nothing was sent: try again",
            Delivery::Answered | Delivery::Unknown => self.call.ask(),
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
