//! State per caller, operation and limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::message::interface_limit::RateLimit;
use crate::rate_limit::LimitKey;

/// Holds one `L` per identity, operation and limit.
#[derive(Debug)]
pub(crate) struct Keyed<L> {
    /// By identity, then by operation, so that a lookup copies no name.
    states: Mutex<ByName<ByName<Limits<L>>>>,
}

type ByName<T> = HashMap<String, T>;

/// Nearly always one entry. If a new limit replaced the old one, two alternating limits would limit nothing.
type Limits<L> = Vec<(RateLimit, Arc<L>)>;

impl<L> Keyed<L> {
    pub(crate) fn state(&self, key: LimitKey<'_>, make: impl FnOnce() -> L) -> Arc<L> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let found = states.get(key.identity).and_then(|states| states.get(key.operation));
        if let Some((_, state)) = found.into_iter().flatten().find(|(limit, _)| *limit == key.limit)
        {
            return Arc::clone(state);
        }
        let state = Arc::new(make());
        let of_identity = states.entry(key.identity.to_owned()).or_default();
        let of_operation = of_identity.entry(key.operation.to_owned()).or_default();
        of_operation.push((key.limit, Arc::clone(&state)));
        state
    }
}

impl<L> Default for Keyed<L> {
    fn default() -> Self {
        Self { states: Mutex::default() }
    }
}
