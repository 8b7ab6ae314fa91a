//! Panics in code of the application that a call runs.
//!
//! One that comes before anything of a call was sent passes on to its caller. Later it must not hide what
//! became of the call: it is caught, logged, and the call ends with what is known. Logs and metrics decide nothing,
//! so what panics there is caught at any time.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

/// What a panic leaves behind. It may be anything, a secret as well: it is never looked at.
type Payload = Box<dyn Any + Send>;

/// A panic, and whose it is.
pub(crate) struct Panic {
    hook: &'static str,
    payload: Payload,
}

/// What runs in a call and has no name of its own: the settings of `rustls` that the application made.
const OTHER: &str = "rustls";

impl Panic {
    fn of(payload: Payload) -> Self {
        match payload.downcast::<Self>() {
            Ok(named) => *named,
            Err(payload) => Self { hook: OTHER, payload },
        }
    }

    /// Passes on to the caller of the call.
    pub(crate) fn pass_on(self) -> ! {
        resume_unwind(self.payload)
    }

    /// Logs it, where it goes no further.
    pub(crate) fn tell(self) {
        discard(self.payload);
        tell(self.hook);
    }
}

/// Calls a hook; `None` when it panics, which is logged.
pub(crate) fn caught<T>(hook: &'static str, call: impl FnOnce() -> T) -> Option<T> {
    // What belongs to the hook is its own, and it may be as it likes; nothing else is changed by it.
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(returned) => Some(returned),
        Err(payload) => {
            discard(payload);
            tell(hook);
            None
        }
    }
}

/// Calls a hook whose panic ends the attempt, and gives that its name.
pub(crate) fn named<T>(hook: &'static str, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| name(hook, Panic::of(payload)))
}

/// Runs the future of a hook whose panic ends the attempt, and gives that its name.
pub(crate) async fn named_async<F: Future>(hook: &'static str, future: F) -> F::Output {
    until_panic(pin!(future)).await.unwrap_or_else(|panic| name(hook, panic))
}

fn name(hook: &'static str, panic: Panic) -> ! {
    let hook = if panic.hook == OTHER { hook } else { panic.hook };
    resume_unwind(Box::new(Panic { hook, ..panic }))
}

/// Runs a future until it has ended, or panicked.
///
/// It is pinned by its caller: a future that is moved in and pinned here would take its room twice.
pub(crate) async fn until_panic<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Panic> {
    // A future that panicked is not polled again.
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(payload) => Poll::Ready(Err(Panic::of(payload))),
    })
    .await
}

/// Ends a call whose hook panicked with nothing of that attempt sent: as its earlier attempts did, or, where
/// there were none, with the panic.
pub(crate) fn ended<T>(panic: Panic, before: Option<T>) -> T {
    match before {
        Some(before) => {
            panic.tell();
            before
        }
        None => panic.pass_on(),
    }
}

/// Tells of a panic that does not reach the caller.
fn tell(hook: &'static str) {
    let told = catch_unwind(|| {
        tracing::error!(hook, "code of the application panicked: the call ends with what is known");
    });
    // Then it is the log that panics, and there is nobody else to tell.
    let _ = told.map_err(discard);
}

/// Drops what a panic left behind, which may panic in turn.
fn discard(payload: Payload) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics with something that panics when it is dropped.
    fn panics() -> u8 {
        struct PanicsAgain;
        impl Drop for PanicsAgain {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        std::panic::panic_any(PanicsAgain)
    }

    #[test]
    fn nothing_that_a_panic_leaves_behind_gets_out() {
        assert_eq!(caught("Audit", panics), None);
        let caught = catch_unwind(|| named("Verifier", panics)).unwrap_err();
        let panic = Panic::of(caught);
        assert_eq!(panic.hook, "Verifier");
        assert_eq!(ended(panic, Some(7)), 7);
    }

    #[test]
    fn the_innermost_name_counts_and_the_caller_gets_what_was_thrown() {
        let told: fn() = || panic!("told to");
        let thrown = catch_unwind(|| named("rustls", || named("Resolve", || named("x", told))));
        let panic = Panic::of(thrown.unwrap_err());
        assert_eq!(panic.hook, "x");
        let passed = catch_unwind(AssertUnwindSafe(|| ended::<()>(panic, None))).unwrap_err();
        assert_eq!(passed.downcast_ref::<&str>(), Some(&"told to"));
    }
}
