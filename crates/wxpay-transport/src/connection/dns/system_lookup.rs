//! Lookups by the operating system.

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use crate::connection::dns::recent_addresses::RecentAddresses;

/// Looks up one name with the operating system, once for all callers.
///
/// A lookup takes a thread for as long as the name servers do not respond, and cannot be cancelled. If each attempt
/// began one, they would take all blocking threads of the application. A query may be lost, though, and its
/// lookup then takes 5 s or more: so another one is begun beside a lookup that takes longer than a second; the first
/// result counts for all callers. At most four run at the same time, with those that go on after another one had a
/// result, and a fifth for callers who come when nobody waits. One that takes longer than a minute is not counted.
pub(crate) struct SystemLookup {
    ask: fn(&str, u16) -> io::Result<Vec<IpAddr>>,
    recent: RecentAddresses,
    running: Mutex<Running>,
}

/// The lookups that run.
#[derive(Default)]
struct Running {
    /// Those whose result callers wait for.
    awaited: Option<Awaited>,
    /// The number of each lookup that runs, awaited or not, and when it began.
    begun: Vec<(u64, Instant)>,
    /// How many lookups there were.
    count: u64,
}

/// Lookups that run at the same time, for the same callers.
struct Awaited {
    found: Found,
    /// The lookups hold it: without one that runs, the channel is closed.
    tell: Weak<watch::Sender<Option<Outcome>>>,
}

/// One lookup. It counts as running until it is dropped, even if it never begins because its runtime has ended.
struct Lookup {
    of: Arc<SystemLookup>,
    number: u64,
    tell: Arc<watch::Sender<Option<Outcome>>>,
}

/// `None` while the lookup runs. It is closed without a result when its runtime has ended.
type Found = watch::Receiver<Option<Outcome>>;
type Outcome = Result<Vec<IpAddr>, (io::ErrorKind, String)>;

/// How long a lookup may take before another one is begun beside it.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many run at the same time, of one name.
const MOST: usize = 4;
/// After this time a lookup no longer counts as running.
const LONGEST: Duration = Duration::from_secs(60);

impl SystemLookup {
    /// Returns the addresses of the name. They are cached for a few seconds.
    pub(crate) async fn addresses(
        self: &Arc<Self>,
        host: &str,
        port: u16,
    ) -> io::Result<Vec<IpAddr>> {
        loop {
            if let Some(addresses) = self.recent.known() {
                return Ok(addresses);
            }
            let (mut found, is_own) = self.look_up(host, port);
            let found = timeout(PATIENCE, found.wait_for(Option::is_some)).await;
            match found.map(|ended| ended.map(|found| found.clone())) {
                Ok(Ok(Some(found))) => {
                    return found.map_err(|(kind, text)| io::Error::new(kind, text));
                }
                Ok(_) if is_own => return Err(io::Error::other("the runtime has ended")),
                // The runtime of another caller has ended, or it takes long.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Discards the cached addresses: none of them works.
    pub(crate) fn forget(&self) {
        self.recent.forget();
    }

    /// Joins the running lookups, or begins one. Returns whether it did.
    fn look_up(self: &Arc<Self>, host: &str, port: u16) -> (Found, bool) {
        let (found, lookup) = self.join();
        let Some(lookup) = lookup else { return (found, false) };
        let host = host.to_owned();
        // The thread itself passes the result on: the runtime of this caller may not be driven.
        spawn_blocking(move || lookup.run(&host, port));
        (found, true)
    }

    /// Returns where the result of the running lookups will be, and another one if it should begin. The first one for
    /// its callers always begins: those of earlier callers may hang.
    fn join(self: &Arc<Self>) -> (Found, Option<Lookup>) {
        let (mut running, now) = (self.running(), Instant::now());
        let age = |begun: Instant| now.saturating_duration_since(begun);
        running.begun.retain(|(_, begun)| age(*begun) < LONGEST);
        let may_begin = running.begun.len() < MOST
            && running.begun.last().is_none_or(|(_, begun)| age(*begun) >= PATIENCE);
        let mut joined = None;
        if let Some(Awaited { found, tell }) = &running.awaited
            && tell.strong_count() > 0
        {
            if !may_begin {
                return (found.clone(), None);
            }
            // It is returned, and not dropped under the lock: that would wake callers.
            joined = tell.upgrade().map(|tell| (found.clone(), tell));
        }
        let (found, tell) = joined.unwrap_or_else(|| {
            let (tell, found) = watch::channel(None);
            let tell = Arc::new(tell);
            running.awaited = Some(Awaited { found: found.clone(), tell: Arc::downgrade(&tell) });
            (found, tell)
        });
        running.count += 1;
        let number = running.count;
        running.begun.push((number, now));
        (found, Some(Lookup { of: Arc::clone(self), number, tell }))
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        // No code panics while it holds the lock.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn with(ask: fn(&str, u16) -> io::Result<Vec<IpAddr>>) -> Self {
        Self { ask, recent: RecentAddresses::default(), running: Mutex::default() }
    }
}

impl Lookup {
    fn run(self, host: &str, port: u16) {
        let result = (self.of.ask)(host, port);
        if let Ok(addresses) = &result {
            self.of.recent.remember(addresses);
        }
        {
            let mut running = self.of.running();
            running.ended(self.number);
            // No later caller gets this result.
            running.awaited.take_if(|awaited| awaited.tell.as_ptr() == Arc::as_ptr(&self.tell));
        }
        let result = result.map_err(|e| (e.kind(), e.to_string()));
        self.tell.send_if_modified(|first| first.is_none() && first.replace(result).is_none());
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.of.running().ended(self.number);
    }
}

impl Running {
    fn ended(&mut self, number: u64) {
        self.begun.retain(|(begun, _)| *begun != number);
    }
}

impl Default for SystemLookup {
    fn default() -> Self {
        let ask = |host: &str, port| {
            (host, port).to_socket_addrs().map(|found| found.map(|found| found.ip()).collect())
        };
        Self { ask, recent: RecentAddresses::default(), running: Mutex::default() }
    }
}

impl fmt::Debug for SystemLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemLookup").field("recent", &self.recent).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc;

    use tokio::runtime::{Builder, Runtime};
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(2);

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().max_blocking_threads(64).build().unwrap()
    }

    fn wait_for(responds: &AtomicBool) {
        while !responds.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn call(lookup: &Arc<SystemLookup>) -> JoinHandle<io::Result<Vec<IpAddr>>> {
        let lookup = Arc::clone(lookup);
        tokio::spawn(async move { lookup.addresses("a.example", 7).await })
    }

    /// Lets a paused clock run until no caller would begin another lookup.
    async fn patience_ends() {
        for _ in 0..MOST * 2 {
            tokio::task::yield_now().await;
            tokio::time::advance(PATIENCE).await;
        }
    }

    /// Ends the lookups when a test fails: its runtime waits for them.
    struct Released(&'static AtomicBool);

    impl Drop for Released {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn callers_share_one_lookup_however_many_give_up() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static RESPONDS: AtomicBool = AtomicBool::new(false);
        let lookup = Arc::new(SystemLookup::with(|_, _| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            wait_for(&RESPONDS);
            Ok(vec![Ipv4Addr::LOCALHOST.into()])
        }));
        // This one is not driven while the name server is silent.
        let (sleeping, other) = (runtime(), runtime());
        for runtime in [&sleeping, &other] {
            runtime.block_on(async {
                for _ in 0..50 {
                    let gives_up = timeout(SHORT, lookup.addresses("a.example", 7));
                    assert!(gives_up.await.is_err());
                }
            });
        }
        RESPONDS.store(true, Ordering::Relaxed);
        let found = other.block_on(lookup.addresses("a.example", 7)).unwrap();
        assert_eq!(found, [Ipv4Addr::LOCALHOST]);
        let asked = ASKED.load(Ordering::Relaxed);
        assert!(asked <= MOST, "{asked}");
        // From the cache, and after that a new lookup.
        other.block_on(lookup.addresses("a.example", 7)).unwrap();
        assert_eq!(ASKED.load(Ordering::Relaxed), asked);
        lookup.forget();
        other.block_on(lookup.addresses("a.example", 7)).unwrap();
        assert_eq!(ASKED.load(Ordering::Relaxed), asked + 1);
    }

    /// The query of the first lookup is lost.
    #[tokio::test]
    async fn a_lookup_that_takes_long_is_passed_by_another() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static RESPONDS: AtomicBool = AtomicBool::new(false);
        let lookup = Arc::new(SystemLookup::with(|_, _| {
            if ASKED.fetch_add(1, Ordering::Relaxed) == 0 {
                wait_for(&RESPONDS);
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            Ok(vec![Ipv4Addr::LOCALHOST.into()])
        }));
        let both = async {
            tokio::join!(lookup.addresses("a.example", 7), lookup.addresses("a.example", 7))
        };
        let (one, other) = timeout(LONGEST, both).await.expect("another lookup");
        for found in [one, other] {
            assert_eq!(found.unwrap(), [Ipv4Addr::LOCALHOST]);
        }
        assert_eq!(ASKED.load(Ordering::Relaxed), 2);
        RESPONDS.store(true, Ordering::Relaxed);
    }

    #[test]
    fn only_so_many_lookups_run_at_once() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static RESPONDS: AtomicBool = AtomicBool::new(false);
        let lookup = Arc::new(SystemLookup::with(|_, _| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            wait_for(&RESPONDS);
            Ok(vec![Ipv4Addr::LOCALHOST.into()])
        }));
        let runtime = runtime();
        let found = runtime.block_on(async {
            tokio::time::pause();
            let caller = call(&lookup);
            patience_ends().await;
            assert!(!caller.is_finished());
            RESPONDS.store(true, Ordering::Relaxed);
            caller.await.unwrap().unwrap()
        });
        assert_eq!(found, [Ipv4Addr::LOCALHOST]);
        // Waits for the threads, so that all who began have counted.
        drop(runtime);
        assert_eq!(ASKED.load(Ordering::Relaxed), MOST);
    }

    /// Of each two queries, the name server drops one.
    #[test]
    fn lookups_that_hang_count_after_another_had_a_result() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static RESPONDS: AtomicBool = AtomicBool::new(false);
        let lookup = Arc::new(SystemLookup::with(|_, _| {
            if ASKED.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
                wait_for(&RESPONDS);
            }
            Err(io::Error::from(io::ErrorKind::NotFound))
        }));
        let runtime = runtime();
        let _released = Released(&RESPONDS);
        runtime.block_on(async {
            tokio::time::pause();
            for hanging in 1..MOST {
                let caller = call(&lookup);
                while ASKED.load(Ordering::Relaxed) < hanging * 2 - 1 {
                    tokio::task::yield_now().await;
                }
                while lookup.running().count < hanging as u64 * 2 {
                    tokio::time::advance(PATIENCE).await;
                    tokio::task::yield_now().await;
                }
                caller.await.unwrap().unwrap_err();
                assert_eq!(lookup.running().begun.len(), hanging);
            }
            // The fourth hangs, and nobody waits for it: its caller has given up.
            let caller = call(&lookup);
            while ASKED.load(Ordering::Relaxed) < MOST * 2 - 1 {
                tokio::task::yield_now().await;
            }
            caller.abort();
            let mut callers = Vec::new();
            for _ in 0..3 {
                callers.push(call(&lookup));
                patience_ends().await;
                assert!(lookup.running().begun.len() <= MOST + 1);
            }
            RESPONDS.store(true, Ordering::Relaxed);
            for caller in callers {
                caller.await.unwrap().unwrap_err();
            }
        });
        // Waits for the threads, so that all who began have counted.
        drop(runtime);
        assert!(lookup.running().begun.is_empty());
    }

    #[test]
    fn a_caller_whose_lookups_ended_without_a_result_begins_another() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static RESPONDS: AtomicBool = AtomicBool::new(false);
        let lookup = Arc::new(SystemLookup::with(|_, _| {
            if ASKED.fetch_add(1, Ordering::Relaxed) < MOST {
                wait_for(&RESPONDS);
                std::panic::resume_unwind(Box::new("no result"));
            }
            Ok(vec![Ipv4Addr::LOCALHOST.into()])
        }));
        let runtime = runtime();
        let _released = Released(&RESPONDS);
        let found = runtime.block_on(async {
            tokio::time::pause();
            let caller = call(&lookup);
            patience_ends().await;
            // The caller has joined its own lookups again.
            assert_eq!(lookup.running().count, MOST as u64);
            RESPONDS.store(true, Ordering::Relaxed);
            caller.await.unwrap().unwrap()
        });
        assert_eq!(found, [Ipv4Addr::LOCALHOST]);
        drop(runtime);
        assert!(lookup.running().begun.is_empty());
    }

    #[test]
    fn a_lookup_whose_runtime_has_ended_is_begun_again() {
        let lookup = Arc::new(SystemLookup::with(|_, _| Ok(vec![Ipv4Addr::LOCALHOST.into()])));
        let (ends, other) = (
            Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap(),
            runtime(),
        );
        // Its only blocking thread is busy, so the lookup does not begin there.
        let (free, busy) = mpsc::channel::<()>();
        ends.spawn_blocking(move || busy.recv());
        ends.block_on(async {
            assert!(timeout(SHORT, lookup.addresses("a.example", 7)).await.is_err());
        });
        let joined = Arc::clone(&lookup);
        let joined = other.spawn(async move { joined.addresses("a.example", 7).await });
        other.block_on(tokio::task::yield_now());
        ends.shutdown_background();
        drop(free);
        let found = other.block_on(joined).unwrap().unwrap();
        assert_eq!(found, [Ipv4Addr::LOCALHOST]);
    }

    #[tokio::test]
    async fn a_failure_is_shared_and_not_cached() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static RESPONDS: AtomicBool = AtomicBool::new(false);
        let lookup = Arc::new(SystemLookup::with(|_, _| {
            let asked = ASKED.fetch_add(1, Ordering::Relaxed) + 1;
            wait_for(&RESPONDS);
            Err(io::Error::new(io::ErrorKind::NotFound, format!("lookup {asked}")))
        }));
        for asked in 1..=2 {
            RESPONDS.store(false, Ordering::Relaxed);
            let (one, other, ()) = tokio::join!(
                lookup.addresses("a.example", 7),
                lookup.addresses("a.example", 7),
                async { RESPONDS.store(true, Ordering::Relaxed) },
            );
            for error in [one.unwrap_err(), other.unwrap_err()] {
                assert_eq!(error.kind(), io::ErrorKind::NotFound);
                assert_eq!(error.to_string(), format!("lookup {asked}"));
            }
        }
    }
}
