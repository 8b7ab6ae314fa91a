//! A front end of a good server that sends endless responses on selected connections.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::manner::Manner;

/// The connections with endless responses.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    /// The first ones, before anything is read.
    First(usize),
    /// Those whose first request contains `slow-N`, in the manner `N` of [`Manner::HTTP`].
    Named,
}

/// Forwards connections to a server.
#[derive(Debug)]
pub(crate) struct Front {
    address: SocketAddr,
    slow: watch::Sender<usize>,
    accepting: JoinHandle<()>,
}

impl Front {
    pub(crate) async fn start(server: SocketAddr, which: Which) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let slow = watch::Sender::new(0);
        let accepting = tokio::spawn(accept(listener, server, which, slow.clone()));
        Self { address, slow, accepting }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until this many connections have endless responses.
    pub(crate) async fn slow_connections(&self, n: usize) {
        let mut slow = self.slow.subscribe();
        slow.wait_for(|slow| *slow == n).await.expect("the sender exists");
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    which: Which,
    slow: watch::Sender<usize>,
) {
    let mut serving = JoinSet::new();
    let mut accepted = 0;
    while let Ok((stream, _)) = listener.accept().await {
        while serving.try_join_next().is_some() {}
        let manner = match which {
            Which::First(n) if accepted < n => Some(Manner::HandshakeByteByByte),
            _ => None,
        };
        accepted += 1;
        let is_named = matches!(which, Which::Named);
        serving.spawn(serve(stream, server, manner, is_named, slow.clone()));
    }
}

async fn serve(
    mut stream: TcpStream,
    server: SocketAddr,
    manner: Option<Manner>,
    is_named: bool,
    slow: watch::Sender<usize>,
) -> io::Result<()> {
    let head = if is_named { read_head(&mut stream).await? } else { Vec::new() };
    if let Some(manner) = manner.or_else(|| named(&head)) {
        slow.send_modify(|slow| *slow += 1);
        let ended = manner.response(&mut stream).await;
        slow.send_modify(|slow| *slow -= 1);
        return ended;
    }
    let mut upstream = TcpStream::connect(server).await?;
    upstream.write_all(&head).await?;
    copy_bidirectional(&mut stream, &mut upstream).await.map(|_| ())
}

/// Reads a request without a body.
pub(crate) async fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

fn named(head: &[u8]) -> Option<Manner> {
    let head = String::from_utf8_lossy(head);
    let (_, rest) = head.split_once("slow-")?;
    let n: usize = rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some(Manner::HTTP[n % Manner::HTTP.len()])
}
