//! The span of a call, and its fields.
//!
//! The application's subscriber runs whenever the span is entered, left, recorded on or closed. Its panics do
//! not affect the call.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::StatusCode;
use tracing::Span;
use tracing::field::{Empty, display};

use crate::error::Error;
use crate::error::delivery::Outcome;
use crate::message::downloaded::Downloaded;
use crate::message::response::Response;
use crate::observe::log::{self, SUBSCRIBER};
use crate::panics::caught;

/// The span of a call.
#[derive(Debug)]
pub(crate) struct CallSpan(Span);

impl CallSpan {
    pub(crate) fn begin(operation: &str) -> Self {
        let span = caught(SUBSCRIBER, || {
            tracing::info_span!(
                "wxpay_call",
                operation,
                attempt = Empty,
                host = Empty,
                status = Empty,
                request_id = Empty,
                delivery = Empty,
                outcome = Empty,
            )
        });
        Self(span.unwrap_or_else(Span::none))
    }

    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(Span::none())
    }

    /// Records the number of the attempt that begins, and its host.
    pub(crate) fn attempt(&self, number: u32, host: &str) {
        let _ = caught(SUBSCRIBER, || {
            self.0.record("attempt", number).record("host", host);
        });
    }

    /// Records the result of the call on the span, and in one event.
    pub(crate) fn ended(&self, result: &Result<Response, Error>) {
        self.within(|| {
            let said = result.as_ref().map(|response| (response.status(), response.request_id()));
            let _ = caught(SUBSCRIBER, || self.note(said));
            match result {
                Ok(response) => {
                    log::debug!(signed_by = %response.body().serial(), "answered and verified");
                }
                Err(error) => failed(error),
            }
        });
    }

    /// Records the result of a download on the span, and in one event.
    pub(crate) fn downloaded(&self, result: &Result<Downloaded, Error>) {
        self.within(|| {
            let said = result.as_ref().map(|file| (StatusCode::OK, file.request_id()));
            let _ = caught(SUBSCRIBER, || self.note(said));
            match result {
                Ok(file) => {
                    let (received, written) = (file.received(), file.written());
                    log::debug!(received, written, "downloaded, and the hash is right");
                }
                Err(error) => failed(error),
            }
        });
    }

    fn note(&self, result: Result<(StatusCode, Option<&str>), &Error>) {
        let Self(span) = self;
        let (status, request_id) = match result {
            Ok((status, request_id)) => (Some(status), request_id),
            Err(error) => (error.status(), error.request_id()),
        };
        if let Some(status) = status {
            span.record("status", status.as_u16());
        }
        if let Some(request_id) = request_id {
            span.record("request_id", request_id);
        }
        match result {
            Ok(_) => span.record("delivery", "answered"),
            Err(error) => {
                span.record("delivery", error.delivery().as_str());
                span.record("outcome", display(error.outcome()))
            }
        };
    }

    /// Runs a call within the span, and drops it there.
    pub(crate) fn around<'s, F: Future>(&'s self, call: Pin<&'s mut Option<F>>) -> Within<'s, F> {
        Within { span: self, call }
    }

    /// Runs a function within the span. Its return value is not lost if leaving the span panics.
    fn within<T>(&self, run: impl FnOnce() -> T) -> T {
        let entered = caught(SUBSCRIBER, || self.0.enter());
        if entered.is_none() {
            // One layer of the subscriber may have entered the span before another one panicked.
            let leave = || self.0.with_subscriber(|(id, subscriber)| subscriber.exit(id));
            let _ = caught(SUBSCRIBER, leave);
        }
        let ran = catch_unwind(AssertUnwindSafe(run));
        let _ = caught(SUBSCRIBER, || drop(entered));
        ran.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// Reports a call that did not succeed.
fn failed(error: &Error) {
    let hint = error.hint();
    if error.outcome() == Outcome::Unknown {
        log::warn!(%error, %hint, "the outcome of the call is unknown");
    } else {
        log::info!(%error, %hint, "the call did not succeed");
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        let span = std::mem::replace(&mut self.0, Span::none());
        let _ = caught(SUBSCRIBER, || drop(span));
    }
}

/// A call that runs within its span.
pub(crate) struct Within<'s, F> {
    span: &'s CallSpan,
    call: Pin<&'s mut Option<F>>,
}

impl<F: Future> Future for Within<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { span, call } = &mut *self;
        match call.as_mut().as_pin_mut() {
            Some(call) => span.within(|| call.poll(cx)),
            // Unreachable: the call is removed only on drop.
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for Within<'_, F> {
    fn drop(&mut self) {
        let Self { span, call } = self;
        span.within(|| call.set(None));
    }
}
