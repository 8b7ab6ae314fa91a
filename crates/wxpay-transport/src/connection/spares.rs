//! Connections that are opened before they are needed, and have carried no request.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connection::connector::Connector;
use crate::connection::http1::Connection;
use crate::connection::pool::Pool;
use crate::observe::log;
use crate::observe::telemetry::{self, Purpose};

/// How long a spare is kept: well below the 8 s after which WeChat Pay closes an idle connection.
pub(crate) const KEEP: Duration = Duration::from_secs(4);

/// How many spares there are at most on a runtime, those that are being opened included.
const MOST: usize = 8;

/// How many there are at most on all runtimes together.
pub(crate) const MOST_ON_ALL: usize = 4 * MOST;

/// Opens connections ahead while calls flow, so that a call that needs an unused one finds it ready.
pub(crate) struct Spares {
    shared: Arc<Shared>,
}

struct Shared {
    host: Arc<str>,
    connector: Arc<Connector>,
    ready: Pool,
    keep: Duration,
    flow: Mutex<Flow>,
    /// Never locked within `flow`: a runtime that has ended drops a task where it is spawned, and the task
    /// then says that it is over.
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Flow {
    last_call: Option<Instant>,
    /// How many calls that need an unused connection are under way.
    calls: usize,
    /// How many spares calls found missing since they flow: those beyond one for each call.
    missed: usize,
    /// How many connections are being opened ahead.
    opening: usize,
    /// How many of these calls under way count on.
    promised: usize,
    /// The last connection did not come about: none is opened ahead until one does.
    is_failing: bool,
}

/// A call that needs a connection which has carried no request, until it is dropped.
pub(crate) struct Demand<'s> {
    shared: &'s Arc<Shared>,
    spare: Option<Connection>,
    /// Another call came a moment before.
    is_flowing: bool,
    /// It counts on a connection that is being opened.
    is_promised: bool,
}

/// A connection that is being opened ahead, until it is there or given up.
struct Opening(Weak<Shared>);

impl Spares {
    pub(crate) fn new(host: Arc<str>, connector: Arc<Connector>, keep_idle: Duration) -> Self {
        let keep = KEEP.min(keep_idle);
        let (ready, flow, tasks) =
            (Pool::new(keep, MOST_ON_ALL), Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { host, connector, ready, keep, flow, tasks }) }
    }

    /// Sets a spare aside for a call, if there is one.
    pub(crate) fn demand(&self, is_first_attempt: bool) -> Demand<'_> {
        let shared = &*self.shared;
        let spare = shared.ready.take();
        let (mut flow, now) = (shared.flow(), Instant::now());
        flow.calls += 1;
        let before = if is_first_attempt { flow.last_call.replace(now) } else { None };
        let is_flowing = before.is_some_and(|before| now - before < shared.keep);
        if is_flowing && spare.is_none() {
            // Calls come faster than connections do.
            flow.missed = (flow.missed + 1).min(MOST);
        } else if is_first_attempt && !is_flowing {
            flow.missed = 0;
        }
        // One that is under way will be there when the signature is.
        let is_promised = spare.is_none() && flow.promised < flow.opening;
        flow.promised += usize::from(is_promised);
        drop(flow);
        Demand { shared: &self.shared, spare, is_promised, is_flowing }
    }

    /// Notes whether a call that found no spare could connect.
    pub(crate) fn connected(&self, is_connected: bool) {
        self.shared.flow().is_failing = !is_connected;
    }

    /// Counts the spares that are ready.
    pub(crate) fn len(&self) -> usize {
        self.shared.ready.len()
    }
}

impl Shared {
    fn flow(&self) -> MutexGuard<'_, Flow> {
        // No code panics while it holds the lock.
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a task opened a connection; the task ends with the client.
    fn spawn(self: &Arc<Self>, used: Option<Connection>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(open(Opening(Arc::downgrade(self)), used));
        // The task that was spawned last waits for this very thread. Behind another one it is there for all
        // threads of the runtime.
        tasks.spawn(std::future::ready(()));
    }
}

/// Opens one. The task ends with the client.
async fn open(opening: Opening, used: Option<Connection>) {
    drop(used);
    let Some(connector) = opening.0.upgrade().map(|shared| Arc::clone(&shared.connector)) else {
        return;
    };
    let opened = match connector.connect().await {
        Ok(stream) => {
            let handshake = stream.handshake();
            Connection::open(stream).await.ok().map(|connection| (connection, handshake))
        }
        Err(_) => None,
    };
    let Some(shared) = opening.0.upgrade() else { return };
    shared.flow().is_failing = opened.is_none();
    let Some((connection, handshake)) = opened else {
        log::debug!(host = &*shared.host, "no connection could be opened ahead");
        return;
    };
    telemetry::connected(&shared.host, handshake, Purpose::Spare);
    shared.ready.put(connection);
}

impl Demand<'_> {
    /// Tells whether a spare is set aside, or will be there soon.
    pub(crate) fn has_spare(&self) -> bool {
        self.spare.is_some() || self.is_promised
    }

    /// Takes the spare, or another one where the server has closed it meanwhile.
    pub(crate) fn take_spare(&mut self) -> Option<Connection> {
        self.keep_promise();
        if let Some(mut spare) = self.spare.take()
            && spare.is_usable()
        {
            return Some(spare);
        }
        self.shared.ready.take()
    }

    /// Has another one opened for the next call, while calls flow. A call that comes alone has none opened, since
    /// nobody may come after it; nor does a further attempt.
    ///
    /// It is called when the response is there, so that no call waits for the work that this takes; nor for the end
    /// of the connection that was used.
    pub(crate) fn open_ahead(&self, used: Option<Connection>) {
        let mut flow = self.shared.flow();
        let ahead = (self.shared.ready.len_here() + flow.opening).saturating_sub(flow.promised);
        let wanted = (flow.calls + flow.missed).min(MOST);
        if self.is_flowing && !flow.is_failing && ahead < wanted {
            flow.opening += 1;
            drop(flow);
            self.shared.spawn(used);
        }
    }

    /// Counts no longer on a connection that is being opened.
    fn keep_promise(&mut self) {
        if std::mem::take(&mut self.is_promised) {
            self.shared.flow().promised -= 1;
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.flow().opening -= 1;
        }
    }
}

impl Drop for Demand<'_> {
    fn drop(&mut self) {
        self.keep_promise();
        self.shared.flow().calls -= 1;
    }
}

impl fmt::Debug for Spares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spares").field("ready", &self.shared.ready).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use crate::call::test_builder;

    use super::*;

    /// A runtime that has ended drops what is spawned on it at once, while the caller is still there.
    #[test]
    fn no_call_hangs_that_ends_after_its_runtime() {
        let client = test_builder().build().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let (ended, has_ended) = mpsc::channel();
        let ends = std::thread::spawn(move || {
            let _entered = handle.enter();
            let spares = &client.inner().calls.domains.main.spares;
            drop(spares.demand(true));
            let demand = spares.demand(true);
            demand.open_ahead(None);
            let opening = spares.shared.flow().opening;
            drop(demand);
            ended.send(opening).unwrap();
        });
        let opening = has_ended.recv_timeout(Duration::from_secs(20));
        assert_eq!(opening, Ok(0), "it waits for itself");
        ends.join().unwrap();
    }
}
