//! Opens TCP to the first of several addresses that responds.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::connection::dns::failed_addresses::FailedAddresses;
use crate::connection::trail::Trail;
use crate::observe::log;

/// How long to wait for an address before trying the next one in parallel (RFC 8305 recommends 250 ms).
const HEAD_START: Duration = Duration::from_millis(300);

/// A connection that is being opened.
struct Dialing {
    address: SocketAddr,
    connecting: Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>,
}

/// Connects to the addresses in order: the next one begins when one has failed, or has not responded for a
/// while; no address is given up before another one responds. However many stay silent, all have begun
/// after half of `time`.
///
/// # Errors
/// The first error, if all fail.
pub(crate) async fn dial(
    addresses: &[SocketAddr],
    time: Duration,
    trail: &Trail,
    failed: &FailedAddresses,
) -> io::Result<(SocketAddr, TcpStream)> {
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let head_start = HEAD_START.min(time / 2 / count);
    let mut waiting = addresses.iter();
    let mut dialing: Vec<Dialing> = Vec::new();
    let mut first_error = None;
    loop {
        let next = waiting.next();
        if let Some(&address) = next {
            log::debug!(%address, "connecting");
            trail.tries(address);
            dialing.push(Dialing { address, connecting: Box::pin(TcpStream::connect(address)) });
        }
        if dialing.is_empty() {
            let none = || io::Error::from(io::ErrorKind::NotFound);
            return Err(first_error.unwrap_or_else(none));
        }
        let has_next = !waiting.as_slice().is_empty();
        let (before, address, connected) = tokio::select! {
            biased;
            ended = first_of(&mut dialing) => ended,
            () = sleep_until(Instant::now() + head_start), if has_next => continue,
        };
        match connected {
            Ok(tcp) => {
                // It was faster than those that began before it.
                dialing.iter().take(before).for_each(|slower| failed.add(slower.address));
                trail.connected(address);
                if let Err(error) = tcp.set_nodelay(true) {
                    log::debug!(%error, "TCP_NODELAY cannot be set");
                }
                return Ok((address, tcp));
            }
            Err(error) => {
                log::debug!(%address, %error, "no connection");
                trail.failed(address, error.kind());
                failed.add(address);
                first_error.get_or_insert(error);
            }
        }
    }
}

/// Waits until one connection completes, removes it, and returns how many began before it.
async fn first_of(dialing: &mut Vec<Dialing>) -> (usize, SocketAddr, io::Result<TcpStream>) {
    poll_fn(|cx| {
        let ended = dialing.iter_mut().enumerate().find_map(|(n, one)| {
            match one.connecting.as_mut().poll(cx) {
                Poll::Ready(ended) => Some((n, ended)),
                Poll::Pending => None,
            }
        });
        match ended {
            Some((n, ended)) => Poll::Ready((n, dialing.remove(n).address, ended)),
            None => Poll::Pending,
        }
    })
    .await
}
