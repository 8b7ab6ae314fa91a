//! Addresses that take connections and say nothing, or do not even take them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// Listens, and accepts nothing. Connections neither come about nor are refused where its queue is full;
/// where it is not, they come about, and that is all.
#[derive(Debug)]
pub struct BlackHole {
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl BlackHole {
    /// Where it is: not where the servers are, which have the same ports.
    pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

    /// Takes no connection: the kernel leaves them without a response, since the queue is full.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn new(port: u16) -> Self {
        Self::at(Self::ADDRESS.into(), port)
    }

    /// The same at another address of this machine.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn at(address: IpAddr, port: u16) -> Self {
        let address = SocketAddr::from((address, port));
        let listener = listen(address, 0);
        let queued = (0..3)
            .map(|_| {
                let socket = socket(address);
                socket.set_nonblocking(true).expect("a socket");
                // It is in progress: nobody accepts it.
                let _ = socket.connect(&address.into());
                socket
            })
            .collect();
        Self { _listener: listener, _queued: queued }
    }

    /// Takes connections, and neither reads nor writes.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn mute(port: u16) -> Self {
        let address = SocketAddr::from((Self::ADDRESS, port));
        Self { _listener: listen(address, 1024), _queued: Vec::new() }
    }
}

fn listen(address: SocketAddr, queue: i32) -> Socket {
    let listener = socket(address);
    // The one before may have left connections behind that are not quite over.
    listener.set_reuse_address(true).expect("a socket");
    listener.bind(&address.into()).expect("a free port");
    listener.listen(queue).expect("a socket");
    listener
}

fn socket(address: SocketAddr) -> Socket {
    Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket")
}
