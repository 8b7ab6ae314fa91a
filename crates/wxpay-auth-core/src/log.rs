//! Log events. The application's subscriber runs when one is written; its panics are caught.
//!
//! An event appears under the module that writes it.

use crate::panics::caught;

pub use crate::{__debug as debug, __error as error, __info as info, __warn as warn};

#[doc(hidden)]
pub use tracing;

/// The name of the subscriber as a hook of the application.
pub const SUBSCRIBER: &str = "tracing subscriber";

/// Runs `write`, which writes an event of this module.
pub fn guarded(module: &'static str, write: impl FnOnce()) {
    if caught(write).is_none() {
        tell_of_loss(module);
    }
}

/// The event itself may be the cause, so another one may get through.
#[cold]
fn tell_of_loss(module: &'static str) {
    // Otherwise there is no other place to report it.
    let _ = caught(|| {
        tracing::error!(
            hook = SUBSCRIBER,
            module,
            "code of the application panicked: an event is lost"
        );
    });
}

/// Writes an event at this level.
#[doc(hidden)]
#[macro_export]
macro_rules! __event {
    ($level:ident, $($event:tt)*) => {
        $crate::internal::log::guarded(module_path!(), || {
            $crate::internal::log::tracing::$level!($($event)*)
        })
    };
}

/// Writes an event at the level `DEBUG`.
#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($event:tt)*) => { $crate::__event!(debug, $($event)*) };
}

/// Writes an event at the level `INFO`.
#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($event:tt)*) => { $crate::__event!(info, $($event)*) };
}

/// Writes an event at the level `WARN`.
#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($event:tt)*) => { $crate::__event!(warn, $($event)*) };
}

/// Writes an event at the level `ERROR`.
#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($event:tt)*) => { $crate::__event!(error, $($event)*) };
}

#[cfg(test)]
mod tests {
    use crate::log;
    use crate::panicking::{panic_twice, with_events};

    #[test]
    fn a_subscriber_that_panics_loses_its_event_and_nothing_else() {
        let logging = || {
            log::debug!(answer = 42, "one");
            log::info!("two");
            log::warn!("three");
            log::error!("four");
            7
        };
        assert_eq!(with_events(|_| {}, logging), (7, 4));
        // The loss of each event is an event, too.
        let first = |event| {
            if event == 1 {
                panic_twice()
            }
        };
        assert_eq!(with_events(first, logging), (7, 5));
        assert_eq!(with_events(|_| panic_twice(), logging), (7, 8));
    }
}
