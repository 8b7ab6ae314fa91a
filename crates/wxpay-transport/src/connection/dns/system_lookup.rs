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
/// lookup then takes 5 s or more: so another one is begun beside a lookup that takes longer than a second, up to
/// four; the first result counts for all callers.
pub(crate) struct SystemLookup {
    ask: fn(&str, u16) -> io::Result<Vec<IpAddr>>,
    recent: RecentAddresses,
    running: Mutex<Option<Running>>,
}

/// Lookups that run at the same time, for the same callers.
struct Running {
    found: Found,
    /// The lookups hold it: without one that runs, the channel is closed.
    tell: Weak<watch::Sender<Option<Outcome>>>,
    /// When each of them began.
    begun: Vec<Instant>,
}

/// `None` while the lookup runs. It is closed without a result when its runtime has ended.
type Found = watch::Receiver<Option<Outcome>>;
type Outcome = Result<Vec<IpAddr>, (io::ErrorKind, String)>;

/// How long a lookup may take before another one is begun beside it.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many run at the same time.
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
        let mut has_own = false;
        loop {
            if let Some(addresses) = self.recent.known() {
                return Ok(addresses);
            }
            let (mut found, is_own) = self.look_up(host, port);
            has_own |= is_own;
            let found = timeout(PATIENCE, found.wait_for(Option::is_some)).await;
            match found.map(|ended| ended.map(|found| found.clone())) {
                Ok(Ok(Some(found))) => {
                    return found.map_err(|(kind, text)| io::Error::new(kind, text));
                }
                Ok(_) if has_own => return Err(io::Error::other("the runtime has ended")),
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
        let (tell, found) = match self.join() {
            (found, None) => return (found, false),
            (found, Some(tell)) => (tell, found),
        };
        let (this, host, own) = (Arc::clone(self), host.to_owned(), found.clone());
        // The thread itself passes the result on: the runtime of this caller may not be driven.
        spawn_blocking(move || {
            let result = (this.ask)(&host, port);
            if let Ok(addresses) = &result {
                this.recent.remember(addresses);
            }
            // No later caller gets this result.
            this.running().take_if(|running| running.found.same_channel(&own));
            let result = result.map_err(|e| (e.kind(), e.to_string()));
            tell.send_if_modified(|first| first.is_none() && first.replace(result).is_none());
        });
        (found, true)
    }

    /// Returns where the result of the running lookups will be, and the sender if another one should begin.
    fn join(&self) -> (Found, Option<Arc<watch::Sender<Option<Outcome>>>>) {
        let (mut running, now) = (self.running(), Instant::now());
        if let Some(running) = &mut *running
            && let Some(tell) = running.tell.upgrade()
        {
            running.begun.retain(|begun| now.saturating_duration_since(*begun) < LONGEST);
            let is_recent = |begun: &Instant| now.saturating_duration_since(*begun) < PATIENCE;
            if running.begun.len() >= MOST || running.begun.last().is_some_and(is_recent) {
                return (running.found.clone(), None);
            }
            running.begun.push(now);
            return (running.found.clone(), Some(tell));
        }
        let (tell, found) = watch::channel(None);
        let tell = Arc::new(tell);
        let begun = vec![now];
        *running = Some(Running { found: found.clone(), tell: Arc::downgrade(&tell), begun });
        (found, Some(tell))
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        // No code panics while it holds the lock.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn with(ask: fn(&str, u16) -> io::Result<Vec<IpAddr>>) -> Self {
        Self { ask, recent: RecentAddresses::default(), running: Mutex::default() }
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
            let caller = Arc::clone(&lookup);
            let caller = tokio::spawn(async move { caller.addresses("a.example", 7).await });
            for _ in 0..MOST * 2 {
                tokio::task::yield_now().await;
                tokio::time::advance(PATIENCE).await;
            }
            assert!(!caller.is_finished());
            RESPONDS.store(true, Ordering::Relaxed);
            caller.await.unwrap().unwrap()
        });
        assert_eq!(found, [Ipv4Addr::LOCALHOST]);
        // Waits for the threads, so that all who began have counted.
        drop(runtime);
        assert_eq!(ASKED.load(Ordering::Relaxed), MOST);
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
