//! Lookups by the operating system.

use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::connection::dns::recent_addresses::RecentAddresses;

/// Looks up one name with the operating system, once for all callers.
///
/// A lookup takes a thread for as long as the name servers do not respond, and cannot be cancelled. If each attempt
/// began one, they would take all blocking threads of the application.
pub(crate) struct SystemLookup {
    ask: fn(&str, u16) -> io::Result<Vec<IpAddr>>,
    recent: RecentAddresses,
    running: Mutex<Option<(Instant, Found)>>,
}

/// `None` while the lookup runs. It is closed without a result when its runtime has ended.
type Found = watch::Receiver<Option<Result<Vec<IpAddr>, (io::ErrorKind, String)>>>;

/// After this time another lookup is begun.
const LONGEST: Duration = Duration::from_secs(60);

impl SystemLookup {
    /// Returns the addresses of the name. They are cached for a few seconds.
    pub(crate) async fn addresses(
        self: &Arc<Self>,
        host: &str,
        port: u16,
    ) -> io::Result<Vec<IpAddr>> {
        if let Some(addresses) = self.recent.known() {
            return Ok(addresses);
        }
        loop {
            let (mut found, is_own) = self.look_up(host, port);
            match found.wait_for(Option::is_some).await.map(|found| found.clone()) {
                Ok(Some(found)) => return found.map_err(|(kind, text)| io::Error::new(kind, text)),
                _ if is_own => return Err(io::Error::other("the runtime has ended")),
                // The runtime of another caller has ended.
                _ => {}
            }
        }
    }

    /// Discards the cached addresses: none of them works.
    pub(crate) fn forget(&self) {
        self.recent.forget();
    }

    /// Joins the running lookup, or begins one. Returns whether it did.
    fn look_up(self: &Arc<Self>, host: &str, port: u16) -> (Found, bool) {
        let mut running = self.running();
        if let Some((since, found)) = &*running
            && since.elapsed() < LONGEST
            && found.has_changed().is_ok()
        {
            return (found.clone(), false);
        }
        let (tell, found) = watch::channel(None);
        *running = Some((Instant::now(), found.clone()));
        drop(running);
        let (this, host, own) = (Arc::clone(self), host.to_owned(), found.clone());
        // The thread itself passes the result on: the runtime of this caller may not be driven.
        spawn_blocking(move || {
            let result = (this.ask)(&host, port);
            if let Ok(addresses) = &result {
                this.recent.remember(addresses);
            }
            // No later caller gets this result.
            this.running().take_if(|(_, running)| running.same_channel(&own));
            tell.send_replace(Some(result.map_err(|e| (e.kind(), e.to_string()))));
        });
        (found, true)
    }

    fn running(&self) -> MutexGuard<'_, Option<(Instant, Found)>> {
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
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
        // From the cache, and after that a new lookup.
        other.block_on(lookup.addresses("a.example", 7)).unwrap();
        assert_eq!(ASKED.load(Ordering::Relaxed), 1);
        lookup.forget();
        other.block_on(lookup.addresses("a.example", 7)).unwrap();
        assert_eq!(ASKED.load(Ordering::Relaxed), 2);
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
