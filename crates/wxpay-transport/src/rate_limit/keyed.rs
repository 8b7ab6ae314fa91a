//! What is kept for each interface of each caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::rate_limit::{LimitKey, RateLimit};

/// Holds one `L` for each identity, operation and limit.
#[derive(Debug)]
pub(crate) struct Lanes<L> {
    /// By identity, then by operation, so that looking one up copies no name.
    lanes: Mutex<ByName<ByName<Limits<L>>>>,
}

type ByName<T> = HashMap<String, T>;

/// Nearly always one. Were another one put in its place, two that take turns would limit nothing.
type Limits<L> = Vec<(RateLimit, Arc<L>)>;

impl<L> Lanes<L> {
    pub(crate) fn lane(&self, key: LimitKey<'_>, make: impl FnOnce() -> L) -> Arc<L> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let found = lanes.get(key.identity).and_then(|lanes| lanes.get(key.operation));
        if let Some((_, lane)) = found.into_iter().flatten().find(|(limit, _)| *limit == key.limit)
        {
            return Arc::clone(lane);
        }
        let lane = Arc::new(make());
        let of_identity = lanes.entry(key.identity.to_owned()).or_default();
        let of_operation = of_identity.entry(key.operation.to_owned()).or_default();
        of_operation.push((key.limit, Arc::clone(&lane)));
        lane
    }
}

impl<L> Default for Lanes<L> {
    fn default() -> Self {
        Self { lanes: Mutex::default() }
    }
}
