//! Addresses that accept connections but send nothing, or do not even accept them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;

use socket2::{Domain, Socket, Type};

/// Accepts connections on an address and keeps them open, but sends nothing; returns their number.
///
/// # Panics
/// Panics if the port is in use.
pub async fn mute(address: SocketAddr) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind(address).await.expect("a free port");
    let taken = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&taken);
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((tcp, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            kept.push(tcp);
        }
    });
    taken
}

/// Listens, but accepts nothing. With a full queue, connections are neither established nor refused;
/// otherwise they are established, and nothing more happens.
#[derive(Debug)]
pub struct BlackHole {
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl BlackHole {
    /// The address: not that of the servers, which use the same ports.
    pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

    /// Establishes no connection: the kernel does not respond, since the queue is full.
    ///
    /// # Panics
    /// Panics if the port is in use.
    pub fn new(port: u16) -> Self {
        Self::at(Self::ADDRESS.into(), port)
    }

    /// Like [`new`](Self::new), at another address of this machine.
    ///
    /// # Panics
    /// Panics if the port is in use.
    pub fn at(address: IpAddr, port: u16) -> Self {
        let address = SocketAddr::from((address, port));
        let listener = listen(address, 0);
        let queued = (0..3)
            .map(|_| {
                let socket = socket(address);
                socket.set_nonblocking(true).expect("a socket");
                // The connection stays pending: it is not accepted.
                let _ = socket.connect(&address.into());
                socket
            })
            .collect();
        Self { _listener: listener, _queued: queued }
    }

    /// Establishes connections, but neither reads nor writes.
    ///
    /// # Panics
    /// Panics if the port is in use.
    pub fn mute(port: u16) -> Self {
        let address = SocketAddr::from((Self::ADDRESS, port));
        Self { _listener: listen(address, 1024), _queued: Vec::new() }
    }
}

fn listen(address: SocketAddr, queue: i32) -> Socket {
    let listener = socket(address);
    // The previous listener may have left connections that are still closing.
    listener.set_reuse_address(true).expect("a socket");
    listener.bind(&address.into()).expect("a free port");
    listener.listen(queue).expect("a socket");
    listener
}

fn socket(address: SocketAddr) -> Socket {
    Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket")
}
