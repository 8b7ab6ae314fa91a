//! Idle connections, kept for a while.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::connection::Connection;

/// Keeps the idle connections to one origin, each for less time than the server does.
pub(crate) struct Pool {
    shared: Arc<Mutex<Shared>>,
    keep: Duration,
}

#[derive(Default)]
struct Shared {
    /// The one that has been idle longest stands first.
    idle: VecDeque<(Instant, Connection)>,
    /// When the last one was put here.
    last_put: Option<Instant>,
    reaper: Option<JoinHandle<()>>,
}

impl Pool {
    /// Makes a pool that keeps a connection for this long.
    pub(crate) fn new(keep: Duration) -> Self {
        Self { shared: Arc::default(), keep }
    }

    /// Takes the connection that was used last, if it still stands.
    pub(crate) fn take(&self) -> Option<Connection> {
        loop {
            let (since, mut connection) = lock(&self.shared).idle.pop_back()?;
            if since.elapsed() < self.keep && connection.is_usable() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose answer was read to its end, if the server lets it stand.
    pub(crate) fn put(&self, mut connection: Connection) {
        if !connection.is_usable() {
            return;
        }
        connection.keep();
        let (mut shared, now) = (lock(&self.shared), Instant::now());
        shared.idle.push_back((now, connection));
        shared.last_put = Some(now);
        // The reaper of a runtime that has ended is finished, too.
        if shared.reaper.as_ref().is_none_or(JoinHandle::is_finished) {
            shared.reaper = Some(tokio::spawn(reap(Arc::downgrade(&self.shared), self.keep)));
        }
    }

    /// Counts the idle connections.
    pub(crate) fn len(&self) -> usize {
        lock(&self.shared).idle.len()
    }
}

/// Closes connections that were idle for too long, and ends when there was none for as long. Were it to end
/// with the last one, a lone caller would start another with each call.
async fn reap(shared: Weak<Mutex<Shared>>, keep: Duration) {
    loop {
        let next = {
            let Some(shared) = shared.upgrade() else { return };
            let mut shared = lock(&shared);
            while shared.idle.front().is_some_and(|(since, _)| since.elapsed() >= keep) {
                shared.idle.pop_front();
            }
            let since = shared.idle.front().map(|(since, _)| *since).or(shared.last_put);
            match since.map(|since| since + keep) {
                Some(next) if next > Instant::now() => next,
                _ => {
                    // Under the lock, so that whoever adds the next one starts another reaper.
                    shared.reaper = None;
                    return;
                }
            }
        };
        tokio::time::sleep_until(next).await;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(reaper) = lock(&self.shared).reaper.take() {
            reaper.abort();
        }
    }
}

/// No code panics while it holds the lock; were it otherwise, the list would still be a list.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
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
