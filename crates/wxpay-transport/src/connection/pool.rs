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

    /// Returns connections whose servers keep them.
    async fn connections(count: usize) -> (Vec<Connection>, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let stream = Stream::Plain(Link::Tcp(CountedTcp::counted(tcp)));
            ours.push(Connection::open(stream).await.unwrap());
            theirs.push(listener.accept().await.unwrap().0);
        }
        (ours, theirs)
    }

    const KEEP: Duration = Duration::from_secs(7);

    /// Tells connections apart by what they have written.
    fn number(connection: &Connection) -> u64 {
        connection.traffic().written()
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_one_is_taken_first_and_the_first_one_makes_room() {
        let (ours, _theirs) = connections(3).await;
        let pool = Pool::new(KEEP, 2);
        assert_eq!(format!("{pool:?}"), "Pool { idle: 0, keep: 7s, .. }");
        for (n, connection) in ours.into_iter().enumerate() {
            connection.traffic().add_written(n);
            pool.put(connection);
            assert_eq!((pool.len(), pool.len_here()), (2.min(n + 1), 2.min(n + 1)));
        }
        let taken: Vec<_> = std::iter::from_fn(|| pool.take()).map(|one| number(&one)).collect();
        assert_eq!(taken, [2, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_idle_for_long_is_closed_and_not_taken() {
        let (ours, _theirs) = connections(3).await;
        let pool = Pool::new(KEEP, 8);
        let mut ours = ours.into_iter();
        for _ in 0..2 {
            pool.put(ours.next().unwrap());
            tokio::time::sleep(KEEP / 2).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(pool.len(), 1, "the reaper has closed the first one");
        assert!(pool.take().is_some());
        tokio::time::sleep(2 * KEEP).await;
        assert!(
            lock(&pool.shared).reapers.is_empty() || lock(&pool.shared).reapers[0].1.is_finished()
        );
        pool.put(ours.next().unwrap());
        tokio::time::sleep(KEEP.checked_sub(Duration::from_millis(1)).unwrap()).await;
        assert_eq!(pool.len(), 1);
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert_eq!(pool.len(), 0, "another reaper closed it");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_expired_is_not_taken_though_nobody_closed_it() {
        let (ours, _theirs) = connections(2).await;
        let pool = Pool::new(KEEP, 8);
        for connection in ours {
            pool.put(connection);
        }
        // The runtime of the reaper has ended, say.
        lock(&pool.shared).reapers.drain(..).for_each(|(_, reaper)| reaper.abort());
        tokio::time::sleep(KEEP.checked_sub(Duration::from_millis(1)).unwrap()).await;
        assert!(pool.take().is_some());
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(pool.len(), 1);
        assert!(pool.take().is_none());
        assert_eq!(pool.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_its_server_closed_is_skipped() {
        let (ours, mut theirs) = connections(2).await;
        let pool = Pool::new(KEEP, 8);
        for (n, connection) in ours.into_iter().enumerate() {
            connection.traffic().add_written(n);
            pool.put(connection);
        }
        drop(theirs.pop());
        let taken: Vec<_> = std::iter::from_fn(|| pool.take()).map(|one| number(&one)).collect();
        assert_eq!(taken, [0]);
    }

    #[test]
    fn each_runtime_takes_its_own() {
        let runtime = || runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (one, other) = (runtime(), runtime());
        let pool = Pool::new(KEEP, 8);
        let put = |runtime: &runtime::Runtime, count| {
            runtime.block_on(async {
                let (ours, theirs) = connections(count).await;
                for connection in ours {
                    pool.put(connection);
                }
                theirs
            })
        };
        let kept = (put(&one, 1), put(&other, 2));
        assert_eq!(lock(&pool.shared).reapers.len(), 2, "one for each");
        let here = |runtime: &runtime::Runtime| runtime.block_on(async { pool.len_here() });
        assert_eq!((pool.len(), here(&one), here(&other), pool.len_here()), (3, 1, 2, 0));
        let taken = one.block_on(async { (pool.take().is_some(), pool.take().is_some()) });
        assert_eq!((taken, here(&other)), ((true, false), 2));
        drop(kept);
    }

    #[tokio::test]
    async fn its_reapers_end_with_it() {
        let (ours, _theirs) = connections(1).await;
        let pool = Pool::new(KEEP, 8);
        for connection in ours {
            pool.put(connection);
        }
        let reaper = lock(&pool.shared).reapers[0].1.abort_handle();
        assert!(!reaper.is_finished());
        drop(pool);
        while !reaper.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}
