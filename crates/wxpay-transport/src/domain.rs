//! One domain: how it is reached, its idle connections, its breaker.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;

use crate::base_url::BaseUrl;
use crate::breaker::Breaker;
use crate::connector::Connector;
use crate::pool::Pool;
use crate::telemetry;

/// Holds what belongs to the main or to the standby domain.
pub(crate) struct Domain {
    pub(crate) base_url: BaseUrl,
    /// What errors, answers and logs call it.
    pub(crate) name: Arc<str>,
    pub(crate) host: HeaderValue,
    pub(crate) connector: Connector,
    pub(crate) pool: Pool,
    pub(crate) breaker: Mutex<Breaker>,
}

impl Domain {
    /// Changes the breaker, and tells of its new state once it is free again.
    pub(crate) fn change_breaker<T>(&self, change: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = self.breaker();
        let before = breaker.state();
        let changed = change(&mut breaker);
        let after = breaker.state();
        drop(breaker);
        telemetry::breaker(&self.name, before, after);
        changed
    }

    pub(crate) fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // No code panics while it holds the lock.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domain")
            .field("base_url", &self.base_url)
            .field("connector", &self.connector)
            .field("pool", &self.pool)
            .field("breaker", &*self.breaker())
            .finish_non_exhaustive()
    }
}
