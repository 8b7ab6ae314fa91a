//! Panics in application code that a call runs.
//!
//! A panic before anything of a call was sent propagates to the caller. A later one must not hide the
//! outcome of the call: it is caught and logged, and the call ends with what is known. Logs and metrics do not
//! affect the result, so their panics are always caught.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

use wxpay_auth::internal::panics::{self, discard};

use crate::observe::log;

/// The payload of a panic. It may contain a secret, so it is never inspected.
type Payload = Box<dyn Any + Send>;

/// A panic, and the hook that caused it.
pub(crate) struct Panic {
    hook: &'static str,
    payload: Payload,
}

/// The hook of panics that no other hook caused: the `rustls` settings of the application.
const OTHER: &str = "rustls";

impl Panic {
    fn of(payload: Payload) -> Self {
        match payload.downcast::<Self>() {
            Ok(named) => *named,
            Err(payload) => Self { hook: OTHER, payload },
        }
    }

    /// Propagates the panic to the caller of the call.
    pub(crate) fn pass_on(self) -> ! {
        resume_unwind(self.payload)
    }

    /// Logs the panic, which does not reach the caller.
    pub(crate) fn tell(self) {
        discard(self.payload);
        tell(self.hook);
    }
}

/// Calls a hook; logs a panic and returns `None`.
pub(crate) fn caught<T>(hook: &'static str, call: impl FnOnce() -> T) -> Option<T> {
    let returned = panics::caught(call);
    if returned.is_none() {
        tell(hook);
    }
    returned
}

/// Calls a hook whose panic ends the attempt, and adds the name of the hook to the panic.
pub(crate) fn named<T>(hook: &'static str, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| name(hook, Panic::of(payload)))
}

/// Runs the future of a hook whose panic ends the attempt, and adds the name of the hook to the panic.
pub(crate) async fn named_async<F: Future>(hook: &'static str, future: F) -> F::Output {
    until_panic(pin!(future)).await.unwrap_or_else(|panic| name(hook, panic))
}

fn name(hook: &'static str, panic: Panic) -> ! {
    let hook = if panic.hook == OTHER { hook } else { panic.hook };
    resume_unwind(Box::new(Panic { hook, ..panic }))
}

/// Runs a future until it completes or panics.
///
/// The caller pins it: a future moved in and pinned here would take its space twice.
pub(crate) async fn until_panic<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Panic> {
    // A future that panicked is not polled again.
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(payload) => Poll::Ready(Err(Panic::of(payload))),
    })
    .await
}

/// Ends a call whose hook panicked before anything of that attempt was sent: with the result of the earlier
/// attempts, or else with the panic.
pub(crate) fn ended<T>(panic: Panic, before: Option<T>) -> T {
    match before {
        Some(before) => {
            panic.tell();
            before
        }
        None => panic.pass_on(),
    }
}

/// Logs a panic that does not reach the caller.
fn tell(hook: &'static str) {
    log::error!(hook, "code of the application panicked: the call ends with what is known");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics with a payload that panics when it is dropped.
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
