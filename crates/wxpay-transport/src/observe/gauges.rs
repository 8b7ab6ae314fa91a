//! A recorder for tests, with one gauge.

use std::sync::{Arc, Mutex};

use metrics::{
    Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// Records the values of one gauge.
pub(crate) struct OneGauge {
    name: &'static str,
    values: Arc<Values>,
}

/// A value, and what is done before it is recorded.
type Meanwhile = (f64, Box<dyn FnOnce() + Send>);

struct Values {
    set: Mutex<Vec<f64>>,
    before: Mutex<Option<Meanwhile>>,
}

impl OneGauge {
    pub(crate) fn new(name: &'static str) -> Self {
        let values = Values { set: Mutex::default(), before: Mutex::default() };
        Self { name, values: Arc::new(values) }
    }

    /// Does this while the value is being reported, as another thread may.
    pub(crate) fn meanwhile(&self, value: f64, run: impl FnOnce() + Send + 'static) {
        *self.values.before.lock().unwrap() = Some((value, Box::new(run)));
    }

    pub(crate) fn values(&self) -> Vec<f64> {
        self.values.set.lock().unwrap().clone()
    }
}

impl GaugeFn for Values {
    fn increment(&self, _: f64) {}

    fn decrement(&self, _: f64) {}

    fn set(&self, value: f64) {
        let before = self.before.lock().unwrap().take_if(|(at, _)| at.total_cmp(&value).is_eq());
        if let Some((_, run)) = before {
            run();
        }
        self.set.lock().unwrap().push(value);
    }
}

impl Recorder for OneGauge {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        assert_eq!(key.name(), self.name);
        Gauge::from_arc(Arc::clone(&self.values))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
