//! One domain: how it is reached, its idle connections, its breaker.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;

use crate::base_url::BaseUrl;
use crate::breaker::Breaker;
use crate::connector::Connector;
use crate::pool::Pool;

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
