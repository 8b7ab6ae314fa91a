//! An address at which connections neither come about nor are refused.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// Listens with a queue that is full, so that the kernel leaves further connections without an answer.
#[derive(Debug)]
pub(crate) struct BlackHole {
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl BlackHole {
    /// Where it is: not where the servers are, which have the same ports.
    pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

    pub(crate) fn new(port: u16) -> Self {
        let address = SocketAddr::from((Self::ADDRESS, port)).into();
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&address).unwrap();
        listener.listen(0).unwrap();
        let queued = (0..3)
            .map(|_| {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                socket.set_nonblocking(true).unwrap();
                // It is in progress: nobody accepts it.
                let _ = socket.connect(&address);
                socket
            })
            .collect();
        Self { _listener: listener, _queued: queued }
    }
}
