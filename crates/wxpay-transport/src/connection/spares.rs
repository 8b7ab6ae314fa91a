//! Unused connections that are opened in advance.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::connection::connector::Connector;
use crate::connection::http1::{Connection, current_runtime};
use crate::connection::pool::Pool;
use crate::observe::log;
use crate::observe::telemetry::{self, Purpose};

/// How long a spare is kept: well below the 8 s after which WeChat Pay closes an idle connection.
pub(crate) const KEEP: Duration = Duration::from_secs(4);

/// Maximum number of spares on a runtime, including those being opened.
const MOST: usize = 8;

/// Maximum number of spares on all runtimes together.
pub(crate) const MOST_ON_ALL: usize = 4 * MOST;

/// Opens connections in advance while calls keep coming, so that a call that needs an unused one finds it ready.
pub(crate) struct Spares {
    shared: Arc<SparesState>,
}

struct SparesState {
    host: Arc<str>,
    connector: Arc<Connector>,
    ready: Pool,
    keep: Duration,
    flows: Mutex<Flows>,
    /// Never locked while `flows` is locked: a runtime that has ended drops a task when it is spawned, and
    /// dropping the task locks `flows`.
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Flows {
    /// One entry for each runtime with calls: a connection can be used only on the runtime that opens it, and an
    /// idle runtime does not open it before it runs again.
    on: HashMap<Option<runtime::Id>, Flow>,
    /// Whether the last connection failed: none is opened in advance until one succeeds.
    is_failing: bool,
}

#[derive(Default)]
struct Flow {
    last_call: Option<Instant>,
    /// Number of calls in progress that need an unused connection.
    calls: usize,
    /// Number of spares that recent calls found missing, beyond one for each call.
    missed: usize,
    /// Number of connections being opened in advance.
    opening: usize,
    /// Number of those that calls in progress are waiting for.
    promised: usize,
}

/// A call that needs an unused connection.
pub(crate) struct Demand<'s> {
    shared: &'s Arc<SparesState>,
    runtime: Option<runtime::Id>,
    spare: Option<Connection>,
    /// Whether another call came shortly before.
    is_flowing: bool,
    /// Whether it waits for a connection that is being opened.
    is_promised: bool,
}

/// A connection that is being opened in advance, until it is open or abandoned.
struct Opening {
    shared: Weak<SparesState>,
    runtime: Option<runtime::Id>,
}

impl Spares {
    pub(crate) fn new(host: Arc<str>, connector: Arc<Connector>, keep_idle: Duration) -> Self {
        let keep = KEEP.min(keep_idle);
        let (ready, flows, tasks) =
            (Pool::new(keep, MOST_ON_ALL), Mutex::default(), Mutex::default());
        Self { shared: Arc::new(SparesState { host, connector, ready, keep, flows, tasks }) }
    }

    /// Reserves a spare for a call, if there is one.
    pub(crate) fn demand(&self, is_first_attempt: bool) -> Demand<'_> {
        let shared = &*self.shared;
        let spare = shared.ready.take();
        let (runtime, now) = (current_runtime(), Instant::now());
        let mut flows = shared.flows();
        flows.on.retain(|_, flow| flow.is_under_way(now, shared.keep));
        let flow = flows.on.entry(runtime).or_default();
        flow.calls += 1;
        let before = if is_first_attempt { flow.last_call.replace(now) } else { None };
        let is_flowing = before.is_some_and(|before| now - before < shared.keep);
        if is_flowing && spare.is_none() {
            // Calls come faster than connections are opened.
            flow.missed = (flow.missed + 1).min(MOST);
        } else if is_first_attempt && !is_flowing {
            flow.missed = 0;
        }
        // One that is being opened will be ready when the signature is.
        let is_promised = spare.is_none() && flow.promised < flow.opening;
        flow.promised += usize::from(is_promised);
        drop(flows);
        Demand { shared: &self.shared, runtime, spare, is_promised, is_flowing }
    }

    /// Records whether a call that found no spare could connect.
    pub(crate) fn connected(&self, is_connected: bool) {
        self.shared.flows().is_failing = !is_connected;
    }

    /// Returns the number of spares that are ready.
    pub(crate) fn len(&self) -> usize {
        self.shared.ready.len()
    }
}

impl Flow {
    /// Returns whether the entry is still needed.
    fn is_under_way(&self, now: Instant, keep: Duration) -> bool {
        let is_flowing = self.last_call.is_some_and(|last| now - last < keep);
        is_flowing || self.calls > 0 || self.opening > 0
    }
}

impl SparesState {
    fn flows(&self) -> MutexGuard<'_, Flows> {
        // No code panics while it holds the lock.
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the counts of a runtime.
    fn count(&self, runtime: Option<runtime::Id>, change: impl FnOnce(&mut Flow)) {
        change(self.flows().on.entry(runtime).or_default());
    }

    /// Spawns a task that opens a connection; it ends with the client.
    fn spawn(self: &Arc<Self>, runtime: Option<runtime::Id>, used: Option<Connection>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(open(Opening { shared: Arc::downgrade(self), runtime }, used));
        // The most recently spawned task waits for this very thread. With another one spawned after it, any
        // thread of the runtime can take it.
        tasks.spawn(std::future::ready(()));
    }
}

/// Opens a connection. The task ends with the client.
async fn open(opening: Opening, used: Option<Connection>) {
    drop(used);
    let Some(connector) = opening.shared.upgrade().map(|shared| Arc::clone(&shared.connector))
    else {
        return;
    };
    let opened = match connector.connect().await {
        Ok(stream) => {
            let handshake = stream.handshake();
            Connection::open(stream).await.ok().map(|connection| (connection, handshake))
        }
        Err(_) => None,
    };
    let Some(shared) = opening.shared.upgrade() else { return };
    shared.flows().is_failing = opened.is_none();
    let Some((connection, handshake)) = opened else {
        log::debug!(host = &*shared.host, "cannot open a connection in advance");
        return;
    };
    telemetry::connected(&shared.host, handshake, Purpose::Spare);
    shared.ready.put(connection);
}

impl Demand<'_> {
    /// Returns whether a spare is reserved, or will be ready soon.
    pub(crate) fn has_spare(&self) -> bool {
        self.spare.is_some() || self.is_promised
    }

    /// Takes the spare, or another one if the server has closed it meanwhile.
    pub(crate) fn take_spare(&mut self) -> Option<Connection> {
        self.keep_promise();
        if let Some(mut spare) = self.spare.take()
            && spare.is_usable()
        {
            return Some(spare);
        }
        self.shared.ready.take()
    }

    /// Opens a connection for the next call in the background, while calls keep coming. A single call opens none,
    /// since no other may follow; nor does a retry.
    ///
    /// Called after the response has arrived, so that no call waits for this work, nor for closing the used
    /// connection.
    pub(crate) fn open_ahead(&self, used: Option<Connection>) {
        let (runtime, ready) = (current_runtime(), self.shared.ready.len_here());
        let mut flows = self.shared.flows();
        let is_failing = flows.is_failing;
        let flow = flows.on.entry(runtime).or_default();
        let ahead = (ready + flow.opening).saturating_sub(flow.promised);
        let wanted = (flow.calls + flow.missed).min(MOST);
        if self.is_flowing && !is_failing && ahead < wanted {
            flow.opening += 1;
            drop(flows);
            self.shared.spawn(runtime, used);
        }
    }

    /// Stops waiting for a connection that is being opened.
    fn keep_promise(&mut self) {
        if std::mem::take(&mut self.is_promised) {
            self.shared.count(self.runtime, |flow| flow.promised -= 1);
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.count(self.runtime, |flow| flow.opening -= 1);
        }
    }
}

impl Drop for Demand<'_> {
    fn drop(&mut self) {
        self.keep_promise();
        self.shared.count(self.runtime, |flow| flow.calls -= 1);
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

    /// A runtime that has ended drops a task as soon as it is spawned, while the caller still runs.
    #[test]
    fn no_call_hangs_that_ends_after_its_runtime() {
        let client = test_builder().build().unwrap();
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let (ended, has_ended) = mpsc::channel();
        let ends = std::thread::spawn(move || {
            let _entered = handle.enter();
            let spares = &client.inner().calls.domains.main.spares;
            drop(spares.demand(true));
            let demand = spares.demand(true);
            demand.open_ahead(None);
            let opening = spares.shared.flows().on.values().map(|flow| flow.opening).sum::<usize>();
            drop(demand);
            ended.send(opening).unwrap();
        });
        let opening = has_ended.recv_timeout(Duration::from_secs(20));
        assert_eq!(opening, Ok(0), "it waits for itself");
        ends.join().unwrap();
    }

    /// A runtime may be idle for a long time before it begins to open a connection.
    #[test]
    fn what_another_runtime_opens_is_promised_to_nobody() {
        let client = test_builder().build().unwrap();
        let spares = &client.inner().calls.domains.main.spares;
        let runtime = || runtime::Builder::new_current_thread().build().unwrap();
        let (asleep, awake) = (runtime(), runtime());
        let opening = || spares.shared.flows().on.values().map(|flow| flow.opening).sum::<usize>();
        // The second call of a runtime opens a connection for the next one.
        let flows = || {
            drop(spares.demand(true));
            let (demand, before) = (spares.demand(true), opening());
            assert!(!demand.has_spare(), "a spare of another runtime cannot be used");
            demand.open_ahead(None);
            assert_eq!(opening(), before + 1);
        };
        {
            let _entered = asleep.enter();
            flows();
            assert!(spares.demand(true).has_spare(), "it is being opened");
        }
        {
            let _entered = awake.enter();
            flows();
        }
        drop(asleep);
        assert_eq!(opening(), 1, "the runtime of the other one has ended");
    }

    use crate::connection::base_url::BaseUrl;
    use crate::connection::proxy::Proxy;

    type Client = crate::client::Client<wxpay_auth::FileKeySigner, wxpay_auth::KeyRing>;

    /// Returns a client of a server that keeps what it accepts, if there is one.
    async fn client_of(is_there: bool) -> (Client, tokio::net::TcpListener) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let there = if is_there { there.to_string() } else { "127.0.0.1:1".to_owned() };
        let builder = test_builder().base_url(BaseUrl::new(format!("http://{there}")).unwrap());
        (builder.without_failover().proxy(Proxy::none()).build().unwrap(), listener)
    }

    fn spares(client: &Client) -> &Spares {
        &client.inner().calls.domains.main.spares
    }

    /// Calls in progress, spares being opened, those that are promised, and those that calls found missing.
    fn counts(spares: &Spares) -> (usize, usize, usize, usize) {
        let flows = spares.shared.flows();
        flows.on.values().fold((0, 0, 0, 0), |(calls, opening, promised, missed), flow| {
            let Flow { calls: c, opening: o, promised: p, missed: m, .. } = flow;
            (calls + c, opening + o, promised + p, missed + m)
        })
    }

    async fn opened(spares: &Spares) {
        while counts(spares).1 > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_second_call_opens_a_connection_for_the_third() {
        let (client, _listener) = client_of(true).await;
        let spares = spares(&client);
        let first = spares.demand(true);
        assert!(!first.has_spare());
        first.open_ahead(None);
        assert_eq!(counts(spares), (1, 0, 0, 0), "no other may follow");
        drop(first);
        let second = spares.demand(true);
        second.open_ahead(None);
        assert_eq!(counts(spares), (1, 1, 0, 1));
        drop(second);
        opened(spares).await;
        assert_eq!(spares.len(), 1);
        let mut third = spares.demand(true);
        assert!(third.has_spare());
        assert_eq!((spares.len(), counts(spares)), (0, (1, 0, 0, 1)));
        assert!(third.take_spare().is_some());
        assert!(!third.has_spare() && third.take_spare().is_none());
    }

    #[tokio::test]
    async fn a_spare_that_the_server_closed_is_replaced_by_another_one() {
        // Which of the two is taken first does not matter.
        for closed in [0, 1] {
            let (client, listener) = client_of(true).await;
            let spares = spares(&client);
            let mut demands: Vec<_> = (0..3).map(|_| spares.demand(true)).collect();
            for demand in &demands {
                demand.open_ahead(None);
            }
            opened(spares).await;
            assert_eq!(spares.len(), 2, "the first one was not in a flow");
            let mut accepted = Vec::new();
            for _ in 0..2 {
                accepted.push(listener.accept().await.unwrap());
            }
            demands.clear();
            let mut demand = spares.demand(true);
            accepted.remove(closed);
            let mut spare = demand.take_spare().unwrap();
            assert!(spare.is_usable());
        }
    }

    #[tokio::test]
    async fn as_many_are_opened_as_there_are_calls_and_were_missing() {
        let (client, _listener) = client_of(true).await;
        let spares = spares(&client);
        let mut demands: Vec<_> = (0..3).map(|_| spares.demand(true)).collect();
        assert_eq!(counts(spares), (3, 0, 0, 2));
        let open_all = |demand: &Demand<'_>| (0..20).for_each(|_| demand.open_ahead(None));
        open_all(&demands[0]);
        assert_eq!(counts(spares), (3, 0, 0, 2), "the first one was not in a flow");
        open_all(&demands[2]);
        assert_eq!(counts(spares), (3, 5, 0, 2));
        demands.push(spares.demand(true));
        assert!(demands[3].has_spare(), "one that is being opened is promised");
        assert_eq!(counts(spares), (4, 5, 1, 3));
        open_all(&demands[3]);
        assert_eq!(counts(spares), (4, 8, 1, 3), "what is promised is not there for others");
        drop(demands.pop());
        assert_eq!(counts(spares), (3, 8, 0, 3));
        demands.extend((0..20).map(|_| spares.demand(true)));
        assert_eq!(demands.iter().filter(|demand| demand.has_spare()).count(), 8);
        assert_eq!(counts(spares), (23, 8, 8, 8), "no more than this are found missing");
        open_all(&demands[20]);
        assert_eq!(counts(spares), (23, 16, 8, 8));
        demands.clear();
        assert_eq!(counts(spares), (0, 16, 0, 8));
        opened(spares).await;
        assert_eq!(spares.len(), 16);
    }

    #[tokio::test]
    async fn a_retry_is_no_sign_of_further_calls() {
        let (client, _listener) = client_of(true).await;
        let spares = spares(&client);
        drop(spares.demand(true));
        let retry = spares.demand(false);
        retry.open_ahead(None);
        assert_eq!(counts(spares), (1, 0, 0, 0));
        drop(retry);
        let next = spares.demand(true);
        next.open_ahead(None);
        assert_eq!(counts(spares), (1, 1, 0, 1), "nor that there are none");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_come_seldom_open_none() {
        let (client, _listener) = client_of(true).await;
        let spares = spares(&client);
        drop(spares.demand(true));
        drop(spares.demand(true));
        assert_eq!(counts(spares), (0, 0, 0, 1));
        tokio::time::advance(KEEP.checked_sub(Duration::from_millis(1)).unwrap()).await;
        drop(spares.demand(true));
        assert_eq!(counts(spares), (0, 0, 0, 2), "still a flow");
        tokio::time::advance(KEEP).await;
        let seldom = spares.demand(true);
        seldom.open_ahead(None);
        assert_eq!(counts(spares), (1, 0, 0, 0));
        tokio::time::advance(2 * KEEP).await;
        let other = spares.demand(true);
        assert_eq!(counts(spares), (2, 0, 0, 0), "one in progress is not forgotten");
        drop((seldom, other));
        tokio::time::advance(KEEP).await;
        drop(spares.demand(false));
        assert!(spares.shared.flows().on.values().all(|flow| flow.last_call.is_none()));
    }

    #[tokio::test]
    async fn none_is_opened_ahead_while_connecting_fails() {
        let (client, _listener) = client_of(false).await;
        let spares = spares(&client);
        drop(spares.demand(true));
        let demand = spares.demand(true);
        spares.connected(false);
        demand.open_ahead(None);
        assert_eq!(counts(spares).1, 0);
        spares.connected(true);
        demand.open_ahead(None);
        assert_eq!(counts(spares).1, 1);
        opened(spares).await;
        demand.open_ahead(None);
        assert_eq!((counts(spares).1, spares.len()), (0, 0), "the one that failed tells it");
        assert!(format!("{spares:?}").starts_with("Spares { ready: Pool { idle: 0"));
    }
}
