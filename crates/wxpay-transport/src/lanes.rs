//! What is kept for each interface of each caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::rate_limit::{LimitKey, RateLimit};

/// Holds one `L` for each identity and operation. Another limit gets another one in its place.
#[derive(Debug)]
pub(crate) struct Lanes<L> {
    /// By identity, then by operation, so that looking one up copies no name.
    lanes: Mutex<ByName<Operations<L>>>,
}

type ByName<T> = HashMap<String, T>;

type Operations<L> = ByName<(RateLimit, Arc<L>)>;

impl<L> Lanes<L> {
    pub(crate) fn lane(&self, key: LimitKey<'_>, make: impl FnOnce() -> L) -> Arc<L> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((limit, lane)) =
            lanes.get(key.identity).and_then(|lanes| lanes.get(key.operation))
            && *limit == key.limit
        {
            return Arc::clone(lane);
        }
        let lane = Arc::new(make());
        let of_identity = lanes.entry(key.identity.to_owned()).or_default();
        of_identity.insert(key.operation.to_owned(), (key.limit, Arc::clone(&lane)));
        lane
    }
}

impl<L> Default for Lanes<L> {
    fn default() -> Self {
        Self { lanes: Mutex::default() }
    }
}
