//! Panics in code of the application that a call runs.
//!
//! One that comes before anything of a call was sent passes on to its caller. Later it must not hide what
//! became of the call: it is caught, logged, and the call ends with what is known.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::Poll;

/// What a panic leaves behind. It may be anything, a secret as well: it is never looked at.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Calls a hook; `None` when it panics.
pub(crate) fn caught<T>(hook: &'static str, call: impl FnOnce() -> T) -> Option<T> {
    // What belongs to the hook is its own, and it may be as it likes; nothing else is changed by it.
    catch_unwind(AssertUnwindSafe(call)).inspect_err(|_| tell(hook)).ok()
}

/// Runs a future until it has ended, or panicked.
///
/// It is pinned by its caller: a future that is moved in and pinned here would take its room twice.
pub(crate) async fn until_panic<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Payload> {
    // A future that panicked is not polled again.
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// Ends a call whose hook panicked: as its earlier attempts did, or, where there were none, with the
/// panic.
pub(crate) fn ended<T>(panic: Payload, before: Option<T>) -> T {
    match before {
        Some(before) => {
            tell("of another attempt");
            before
        }
        None => resume_unwind(panic),
    }
}

/// Tells of a panic that does not reach the caller.
pub(crate) fn tell(hook: &'static str) {
    tracing::error!(hook, "code of the application panicked: the call ends with what is known");
}
