//! Code of an application that panics, for tests.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{NoSubscriber, with_default};
use tracing::{Dispatch, Event, Metadata, Subscriber};

/// Panics with a payload that panics when it is dropped.
pub(crate) fn panic_twice() -> ! {
    struct PanicsAgain;
    impl Drop for PanicsAgain {
        fn drop(&mut self) {
            panic!("again");
        }
    }
    std::panic::panic_any(PanicsAgain)
}

/// Counts the events of this crate, and calls a function for each.
struct Counting<F> {
    events: Arc<AtomicUsize>,
    on_event: F,
}

impl<F: Fn(usize) + Send + Sync + 'static> Subscriber for Counting<F> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let this_crate = env!("CARGO_PKG_NAME").replace('-', "_");
        metadata.is_event() && metadata.target().split("::").next() == Some(&this_crate)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        (self.on_event)(self.events.fetch_add(1, Ordering::SeqCst) + 1);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Runs a function on this thread, and another one at each event of this crate, counted from 1. Also returns
/// the number of events.
pub(crate) fn with_events<T>(
    on_event: impl Fn(usize) + Send + Sync + 'static,
    run: impl FnOnce() -> T,
) -> (T, usize) {
    // With a single dispatcher, `tracing` caches an event as disabled if a thread without a subscriber reaches
    // it first.
    let _other = Dispatch::new(NoSubscriber::default());
    let events = Arc::default();
    let subscriber = Counting { events: Arc::clone(&events), on_event };
    match catch_unwind(AssertUnwindSafe(|| with_default(subscriber, run))) {
        Ok(ran) => (ran, events.load(Ordering::SeqCst)),
        Err(payload) => {
            // Its destructor would end the thread of the test without a word.
            std::mem::forget(payload);
            panic!("a panic got out");
        }
    }
}
