//! Panics in code of the application: subscribers, callbacks, wakers.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls code of the application; returns `None` if it panics.
pub fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    // State of that code may be left inconsistent, but that is its own; nothing else is affected.
    catch_unwind(AssertUnwindSafe(call)).map_err(discard).ok()
}

/// Drops the payload of a panic. It may panic in turn, and may contain a secret, so it is never inspected.
pub fn discard(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panicking::panic_twice;

    #[test]
    fn nothing_that_a_panic_leaves_behind_gets_out() {
        assert_eq!(caught(|| -> u8 { panic_twice() }), None);
        assert_eq!(caught(|| 7), Some(7));
    }
}
