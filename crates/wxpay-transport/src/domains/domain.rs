//! One domain: its address, idle connections and breaker.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;

use crate::breaker::Breaker;
use crate::connection::base_url::BaseUrl;
use crate::connection::connector::Connector;
use crate::connection::http1::Connection;
use crate::connection::pool::Pool;
use crate::connection::spares::Spares;
use crate::observe::telemetry;

/// The state of the main or the standby domain.
pub(crate) struct Domain {
    pub(crate) base_url: BaseUrl,
    /// Its name in errors, responses and logs.
    pub(crate) name: Arc<str>,
    pub(crate) host: HeaderValue,
    pub(crate) connector: Arc<Connector>,
    /// Connections that have carried a request.
    pub(crate) kept: Pool,
    /// Connections that have not.
    pub(crate) spares: Spares,
    pub(crate) breaker: Mutex<Breaker>,
}

impl Domain {
    /// Keeps a connection after a call.
    ///
    /// A connection of a call that does not reuse kept ones is kept only if the pool is empty: calls that
    /// reuse them may follow, but fewer. Returns the connection if it is not kept.
    pub(crate) fn keep(
        &self,
        mut connection: Connection,
        is_used_by_its_kind: bool,
    ) -> Option<Connection> {
        let is_wanted = is_used_by_its_kind || self.kept.len_here() == 0;
        connection.mark_reused();
        if !is_wanted || !connection.is_usable() {
            return Some(connection);
        }
        self.kept.put(connection);
        None
    }

    /// Returns the number of connections that are ready for calls.
    pub(crate) fn idle_connections(&self) -> usize {
        self.kept.len() + self.spares.len()
    }

    /// Changes the breaker, and reports its new state after releasing the lock.
    pub(crate) fn change_breaker<T>(&self, change: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = self.breaker();
        let before = breaker.state();
        let changed = change(&mut breaker);
        let after = breaker.state();
        drop(breaker);
        if before != after {
            telemetry::breaker(&self.name, after, || self.breaker().state());
        }
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
            .field("kept", &self.kept)
            .field("spares", &self.spares)
            .field("breaker", &*self.breaker())
            .finish_non_exhaustive()
    }
}
