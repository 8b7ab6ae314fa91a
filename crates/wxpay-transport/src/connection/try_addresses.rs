//! Tries the addresses of a host until one of them leads to where the caller wants to go.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::connection::dialer::dial;
use crate::connection::dns::failed_addresses::FailedAddresses;
use crate::connection::trail::Trail;
use crate::deadline::deadline;
use crate::error::ConnectStage;
use crate::observe::log;

/// Why an address that accepted a connection led nowhere.
pub(crate) enum Stopped<E> {
    /// The other addresses would end the same.
    Final(E),
    /// Another address may do better.
    Failed(E),
}

/// Why no address led anywhere.
pub(crate) enum Unreachable<E> {
    /// An address accepted a connection; the last failure of those that did.
    Accepted(E),
    /// None accepted one. The first error of the operating system.
    NotAccepted(io::Error),
}

/// What is known of the addresses of a host, and how long they may take.
pub(crate) struct TryAddresses<'a> {
    pub(crate) failed: &'a FailedAddresses,
    pub(crate) trail: &'a Trail,
    /// The stage of opening TCP, as errors name it.
    pub(crate) stage: ConnectStage,
    /// The time of all addresses, of which each that accepts connections gets a share.
    pub(crate) time: Duration,
    /// When it is over.
    pub(crate) end: Instant,
}

impl TryAddresses<'_> {
    /// Connects to the addresses in turn, and passes each connection to `enter` until it succeeds. An address that
    /// accepts connections and then stays silent gets only a share of the time, after which it fails with
    /// `silent`; the last one is waited for by the caller, who has a timeout for everything.
    ///
    /// # Errors
    /// Why no address led anywhere, or the first failure that is final.
    pub(crate) async fn run<T, E, F>(
        &self,
        mut addresses: Vec<SocketAddr>,
        enter: impl Fn(SocketAddr, TcpStream) -> F,
        silent: impl Fn() -> E,
    ) -> Result<T, Unreachable<E>>
    where
        F: Future<Output = Result<T, Stopped<E>>>,
        E: fmt::Display,
    {
        let mut last = None;
        loop {
            addresses = self.failed.order(&addresses);
            self.trail.enter(self.stage);
            let left = self.end.saturating_duration_since(Instant::now());
            let (address, tcp) = match dial(&addresses, left, self.trail, self.failed).await {
                Ok(connected) => connected,
                // The failure of an address that accepted a connection is more informative.
                Err(error) => {
                    return Err(last.map_or(Unreachable::NotAccepted(error), Unreachable::Accepted));
                }
            };
            addresses.retain(|other| *other != address && !self.trail.has_failed(*other));
            let entered = enter(address, tcp);
            let ended = if addresses.is_empty() {
                entered.await
            } else {
                let ended = timeout_at(self.share(addresses.len()), entered).await;
                ended.unwrap_or_else(|_| Err(Stopped::Failed(silent())))
            };
            match ended {
                Ok(reached) => return Ok(reached),
                Err(Stopped::Final(error)) => return Err(Unreachable::Accepted(error)),
                Err(Stopped::Failed(error)) => {
                    self.failed.add(address);
                    if addresses.is_empty() {
                        return Err(Unreachable::Accepted(error));
                    }
                    log::debug!(%address, %error, "trying the next address");
                    last = Some(error);
                }
            }
        }
    }

    /// Returns the deadline of one address when this many others are left.
    fn share(&self, others: usize) -> Instant {
        /// What TLS takes over a slow line; at most a quarter of the time.
        const LEAST: Duration = Duration::from_secs(1);
        let (now, count) = (Instant::now(), u32::try_from(others).unwrap_or(u32::MAX));
        let part = self.end.saturating_duration_since(now) / count.saturating_add(1);
        deadline(now, part.max(LEAST.min(self.time / 4)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::net::TcpListener;

    use super::*;

    const TIME: Duration = Duration::from_secs(12);

    /// How an address that accepts a connection goes on.
    #[derive(Clone, Copy)]
    enum Entry {
        Reached,
        Failed,
        Final,
        Silent,
    }

    /// Tries addresses that accept connections; returns how it ended, when, and the entered addresses by their
    /// positions.
    async fn tried(entries: &[Entry]) -> (Result<usize, String>, Duration, Vec<usize>) {
        let mut listeners = Vec::new();
        for _ in entries {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let addresses: Vec<_> = listeners.iter().map(|one| one.local_addr().unwrap()).collect();
        let (trail, failed, begin) = (Trail::new(), FailedAddresses::default(), Instant::now());
        let end = begin + TIME;
        let each = TryAddresses {
            failed: &failed,
            trail: &trail,
            stage: ConnectStage::Tcp,
            time: TIME,
            end,
        };
        let entered = Mutex::new(Vec::new());
        let enter = |address, _tcp| {
            let place = addresses.iter().position(|other| *other == address).unwrap();
            entered.lock().unwrap().push(place);
            async move {
                match entries[place] {
                    Entry::Reached => Ok(place),
                    Entry::Failed => Err(Stopped::Failed(format!("{place} failed"))),
                    Entry::Final => Err(Stopped::Final(format!("{place} is final"))),
                    Entry::Silent => std::future::pending().await,
                }
            }
        };
        let ended = each.run(addresses.clone(), enter, || "silent".to_owned()).await;
        let ended = ended.map_err(|unreachable| match unreachable {
            Unreachable::Accepted(error) => error,
            Unreachable::NotAccepted(error) => panic!("{error}"),
        });
        (ended, begin.elapsed(), entered.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_gets_its_share_of_the_time() {
        let seconds = Duration::from_secs;
        for (entries, reached, after) in [
            (&[Entry::Reached, Entry::Silent][..], 0, Duration::ZERO),
            (&[Entry::Silent, Entry::Reached], 1, seconds(6)),
            (&[Entry::Silent, Entry::Silent, Entry::Reached], 2, seconds(8)),
            (&[Entry::Failed, Entry::Silent, Entry::Reached], 2, seconds(6)),
        ] {
            let (ended, took, entered) = tried(entries).await;
            assert_eq!((ended, took), (Ok(reached), after));
            assert_eq!(entered, (0..=reached).collect::<Vec<_>>());
        }
        let many = [&[Entry::Silent; 15][..], &[Entry::Reached]].concat();
        let (ended, took, _) = tried(&many).await;
        assert_eq!((ended.is_ok(), took), (true, seconds(15)), "each gets a second at least");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_failure_is_told_and_a_final_one_at_once() {
        let (ended, _, entered) = tried(&[Entry::Failed, Entry::Failed]).await;
        assert_eq!((ended.unwrap_err(), entered), ("1 failed".to_owned(), vec![0, 1]));
        let (ended, _, entered) = tried(&[Entry::Final, Entry::Reached]).await;
        assert_eq!((ended.unwrap_err(), entered), ("0 is final".to_owned(), vec![0]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_accepts_nothing_is_passed_over_once() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (trail, failed) = (Trail::new(), FailedAddresses::default());
        let end = Instant::now() + TIME;
        let each = TryAddresses {
            failed: &failed,
            trail: &trail,
            stage: ConnectStage::Tcp,
            time: TIME,
            end,
        };
        let leads_there = |address, _tcp| async move { Ok::<_, Stopped<String>>(address) };
        let silent = || "silent".to_owned();
        let there = open.local_addr().unwrap();
        let reached = each.run(vec![closed, there], leads_there, silent).await;
        assert!(matches!(reached, Ok(address) if address == there));
        assert_eq!((trail.addresses(), trail.stage()), (vec![closed, there], ConnectStage::Tcp));
        let nowhere = each.run(vec![closed], leads_there, silent).await;
        let Err(Unreachable::NotAccepted(error)) = nowhere else { panic!() };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        // What failed after it was accepted is not tried again, nor what the system refused before.
        let fails = |_, _tcp| async { Err::<(), _>(Stopped::Failed("no TLS".to_owned())) };
        let nowhere = each.run(vec![closed, there], fails, silent).await;
        assert!(matches!(nowhere, Err(Unreachable::Accepted(error)) if error == "no TLS"));
    }
}
