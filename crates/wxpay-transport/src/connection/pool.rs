//! Idle connections, kept for a while, each for its own runtime.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::connection::http1::{Connection, current_runtime};

/// Keeps the idle connections to one origin, each for less time than the server does.
pub(crate) struct Pool {
    shared: Arc<Mutex<PoolState>>,
    keep: Duration,
    most: usize,
}

#[derive(Default)]
struct PoolState {
    /// Sorted by idle time, the longest first.
    idle: VecDeque<(Instant, Connection)>,
    /// When the last connection was added.
    last_put: Option<Instant>,
    /// One per runtime that added connections: a task on another runtime may not be polled.
    reapers: Vec<(Option<runtime::Id>, JoinHandle<()>)>,
}

impl Pool {
    /// Creates a pool that keeps up to `most` connections, each for `keep`.
    pub(crate) fn new(keep: Duration, most: usize) -> Self {
        Self { shared: Arc::default(), keep, most }
    }

    /// Takes the most recently used connection that is still usable and belongs to this runtime.
    pub(crate) fn take(&self) -> Option<Connection> {
        let here = current_runtime();
        // The runtime whose reaper would close them may have ended.
        let expired = lock(&self.shared).take_expired(self.keep);
        drop(expired);
        loop {
            let mut connection = lock(&self.shared).take(here)?;
            if connection.is_usable() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection, which is checked when it is taken.
    pub(crate) fn put(&self, connection: Connection) {
        let (mut shared, now) = (lock(&self.shared), Instant::now());
        let here = connection.runtime();
        let expired = shared.take_expired(self.keep);
        let oldest = if shared.idle.len() < self.most { None } else { shared.idle.pop_front() };
        shared.idle.push_back((now, connection));
        shared.last_put = Some(now);
        // The reaper of a runtime that has ended is finished, too.
        shared.reapers.retain(|(_, reaper)| !reaper.is_finished());
        if !shared.reapers.iter().any(|(runtime, _)| *runtime == here) {
            let reaper = tokio::spawn(reap(Arc::downgrade(&self.shared), here, self.keep));
            shared.reapers.push((here, reaper));
        }
        drop(shared);
        drop((expired, oldest));
    }

    /// Returns the number of idle connections.
    pub(crate) fn len(&self) -> usize {
        lock(&self.shared).idle.len()
    }

    /// Returns the number of idle connections of this runtime.
    pub(crate) fn len_here(&self) -> usize {
        let here = current_runtime();
        let shared = lock(&self.shared);
        shared.idle.iter().filter(|(_, connection)| connection.runtime() == here).count()
    }
}

impl PoolState {
    fn take(&mut self, runtime: Option<runtime::Id>) -> Option<Connection> {
        let is_here = |(_, connection): &(Instant, Connection)| connection.runtime() == runtime;
        let last = self.idle.iter().rposition(is_here)?;
        self.idle.remove(last).map(|(_, connection)| connection)
    }

    /// Returns when to look for expired connections again; `None` if there are none, and were none for `keep`.
    /// A connection that has just expired is closed at once.
    fn next_look(&self, keep: Duration, now: Instant) -> Option<Instant> {
        let oldest = self.idle.front().map(|(since, _)| *since + keep);
        oldest.or_else(|| self.last_put.map(|put| put + keep).filter(|next| *next > now))
    }

    fn take_expired(&mut self, keep: Duration) -> Vec<(Instant, Connection)> {
        let fresh = self.idle.iter().position(|(since, _)| since.elapsed() < keep);
        self.idle.drain(..fresh.unwrap_or(self.idle.len())).collect()
    }
}

/// Closes connections that were idle for too long, and ends when there were none for `keep`. If it ended with
/// the last connection, a single caller would start a new reaper with each call.
async fn reap(shared: Weak<Mutex<PoolState>>, here: Option<runtime::Id>, keep: Duration) {
    loop {
        let (expired, next) = {
            let Some(shared) = shared.upgrade() else { return };
            let mut shared = lock(&shared);
            let expired = shared.take_expired(keep);
            let next = shared.next_look(keep, Instant::now());
            if next.is_none() {
                // Under the lock, so that the next `put` starts another reaper.
                shared.reapers.retain(|(runtime, _)| *runtime != here);
            }
            (expired, next)
        };
        drop(expired);
        let Some(next) = next else { return };
        tokio::time::sleep_until(next).await;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for (_, reaper) in lock(&self.shared).reapers.drain(..) {
            reaper.abort();
        }
    }
}

/// No code panics while it holds the lock; even then the list would be valid.
fn lock(shared: &Mutex<PoolState>) -> MutexGuard<'_, PoolState> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("idle", &self.len())
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::connection::io::stream::{CountedTcp, Link, Stream};

    #[tokio::test]
    async fn nobody_stops_looking_while_a_connection_is_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let stream = Stream::Plain(Link::Tcp(CountedTcp::counted(tcp)));
        let connection = Connection::open(stream).await.unwrap();
        let (keep, since) = (Duration::from_secs(7), Instant::now());
        let mut shared = PoolState { last_put: Some(since), ..PoolState::default() };
        shared.idle.push_back((since, connection));
        // A connection may expire right after the expired ones were taken.
        for late in [0, 6, 7, 8, 60] {
            let now = since + Duration::from_secs(late);
            assert_eq!(shared.next_look(keep, now), Some(since + keep), "{late} s later");
        }
        shared.idle.clear();
        assert_eq!(shared.next_look(keep, since), Some(since + keep));
        assert_eq!(shared.next_look(keep, since + keep), None);
    }
}
