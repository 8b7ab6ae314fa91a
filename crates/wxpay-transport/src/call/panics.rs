//! Panics in application code that a call runs.
//!
//! A panic before anything of a call was sent propagates to the caller. A later one must not hide the
//! outcome of the call: it is caught and logged, and the call ends with what is known.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::Poll;

/// The payload of a panic. It may contain a secret, so it is never inspected.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Calls a hook; `None` when it panics.
pub(crate) fn caught<T>(hook: &'static str, call: impl FnOnce() -> T) -> Option<T> {
    // State of the hook may be left inconsistent, but that is the hook's own; nothing else is affected.
    catch_unwind(AssertUnwindSafe(call)).inspect_err(|_| tell(hook)).ok()
}

/// Runs a future until it completes or panics.
///
/// The caller pins it: a future moved in and pinned here would take its space twice.
pub(crate) async fn until_panic<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Payload> {
    // A future that panicked is not polled again.
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// Ends a call whose hook panicked: with the result of the earlier attempts, or else with the panic.
pub(crate) fn ended<T>(panic: Payload, before: Option<T>) -> T {
    match before {
        Some(before) => {
            tell("of another attempt");
            before
        }
        None => resume_unwind(panic),
    }
}

/// Logs a panic that does not reach the caller.
pub(crate) fn tell(hook: &'static str) {
    tracing::error!(hook, "code of the application panicked: the call ends with what is known");
}
