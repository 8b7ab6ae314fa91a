//! TLS sessions for resumption.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// Maximum number of servers remembered: both domains, and their proxies.
const SERVERS: usize = 8;

/// Upper limit of tickets kept for a server: each has some hundred bytes.
const MOST_TICKETS: usize = 1024;

/// Stores sessions of a few servers, and for each as many tickets as connections may be opened at a time: a
/// TLS 1.3 ticket resumes one connection. The store of `rustls` keeps 8.
pub(crate) struct TlsSessions {
    servers: Mutex<VecDeque<Server>>,
    tickets: usize,
}

struct Server {
    name: ServerName<'static>,
    group: Option<NamedGroup>,
    /// For TLS 1.2; resumes any number of connections.
    session: Option<Tls12ClientSessionValue>,
    /// For TLS 1.3; the newest is last, and used first.
    tickets: VecDeque<Tls13ClientSessionValue>,
}

impl TlsSessions {
    /// Creates a store for this many connections opened at a time.
    pub(crate) fn new(connections: usize) -> Self {
        Self { servers: Mutex::default(), tickets: connections.clamp(1, MOST_TICKETS) }
    }

    /// Reads from the entry of a server, if there is one.
    fn of<T>(
        &self,
        name: &ServerName<'_>,
        ask: impl FnOnce(&mut Server) -> Option<T>,
    ) -> Option<T> {
        self.servers().iter_mut().find(|server| server.name == *name).and_then(ask)
    }

    /// Changes the entry of a server. The value that `change` returns is dropped after unlocking.
    fn change<T>(&self, name: ServerName<'static>, change: impl FnOnce(&mut Server) -> T) {
        let mut servers = self.servers();
        let known = servers.iter().position(|server| server.name == name);
        let oldest =
            if known.is_none() && servers.len() >= SERVERS { servers.pop_front() } else { None };
        if known.is_none() {
            servers.push_back(Server::new(name));
        }
        let index = known.unwrap_or(servers.len() - 1);
        let dropped = servers.get_mut(index).map(change);
        drop(servers);
        drop((oldest, dropped));
    }

    fn servers(&self) -> MutexGuard<'_, VecDeque<Server>> {
        // No code panics while it holds the lock.
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    fn new(name: ServerName<'static>) -> Self {
        Self { name, group: None, session: None, tickets: VecDeque::new() }
    }
}

impl ClientSessionStore for TlsSessions {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.change(server_name, |server| server.group = Some(group));
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.of(server_name, |server| server.group)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.change(server_name, |server| server.session.replace(value));
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.of(server_name, |server| server.session.clone())
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        drop(self.of(server_name, |server| server.session.take()));
    }

    fn insert_tls13_ticket(
        &self,
        server_name: ServerName<'static>,
        value: Tls13ClientSessionValue,
    ) {
        self.change(server_name, |server| {
            let is_full = server.tickets.len() >= self.tickets;
            let oldest = if is_full { server.tickets.pop_front() } else { None };
            server.tickets.push_back(value);
            oldest
        });
    }

    fn take_tls13_ticket(
        &self,
        server_name: &ServerName<'static>,
    ) -> Option<Tls13ClientSessionValue> {
        self.of(server_name, |server| server.tickets.pop_back())
    }
}

impl fmt::Debug for TlsSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSessions").field("tickets", &self.tickets).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::HandshakeKind;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;
    use tokio_rustls::TlsAcceptor;
    use wxpay_testing::{ServerTls, ca_pem, server_config};

    use super::*;
    use crate::connection::base_url::BaseUrl;
    use crate::connection::connector::{Connector, Patience};
    use crate::connection::dns::lookup::Lookup;
    use crate::connection::io::stream::Stream;
    use crate::connection::tls::Tls;

    fn name(n: usize) -> ServerName<'static> {
        ServerName::try_from(format!("s{n}.example")).unwrap()
    }

    /// Starts a server that sends one byte on each connection.
    async fn serve(tls: ServerTls) -> BaseUrl {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = BaseUrl::new(format!("https://{}", listener.local_addr().unwrap())).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server_config(tls)));
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut tls = acceptor.accept(tcp).await.unwrap();
                    tls.write_all(b"x").await.unwrap();
                    // Wait until the client disconnects.
                    let _ = tls.read(&mut [0]).await;
                });
            }
        });
        url
    }

    /// Opens this many connections at the same time; returns how many of them resumed a session.
    async fn resumed(connector: &Arc<Connector>, connections: usize) -> usize {
        let connect = |_| {
            let connector = Arc::clone(connector);
            async move { connector.connect().await.unwrap_or_else(|_| panic!("no connection")) }
        };
        let streams = (0..connections).map(connect).collect::<JoinSet<_>>().join_all().await;
        let is_resumed = |stream: &&Stream| stream.handshake() == Some(HandshakeKind::Resumed);
        let resumed = streams.iter().filter(is_resumed).count();
        for mut stream in streams {
            // As in a call: the tickets precede the response, and are read with it.
            assert_eq!(stream.read_u8().await.unwrap(), b'x');
        }
        resumed
    }

    #[tokio::test]
    async fn as_many_connections_go_on_as_are_opened_at_a_time() {
        let patience = Patience { all: Duration::from_secs(20), divided: Duration::from_secs(20) };
        for tls in [ServerTls::Good, ServerTls::Tls12] {
            let url = serve(tls).await;
            let config = Tls::roots_pem(ca_pem().as_bytes()).unwrap().config(true, 32).unwrap();
            let connector = Connector::new(&url, None, config, Lookup::Loopback, patience).unwrap();
            let connector = Arc::new(connector);
            // With TLS 1.2 the last ones may go on with the session of the first already.
            resumed(&connector, 16).await;
            for _ in 0..3 {
                assert_eq!(resumed(&connector, 32).await, 32, "{tls:?}");
            }
        }
    }

    #[tokio::test]
    async fn only_so_many_servers_and_tickets_are_kept() {
        let url = serve(ServerTls::Good).await;
        let patience = Patience { all: Duration::from_secs(20), divided: Duration::from_secs(20) };
        let config = Tls::roots_pem(ca_pem().as_bytes()).unwrap().config(true, 4).unwrap();
        let connector = Connector::new(&url, None, config, Lookup::Loopback, patience).unwrap();
        let connector = Arc::new(connector);
        assert_eq!(resumed(&connector, 8).await, 0);
        assert_eq!(resumed(&connector, 8).await, 4);

        let sessions = TlsSessions::new(4);
        for n in 0..=SERVERS {
            sessions.set_kx_hint(name(n), NamedGroup::X25519);
        }
        assert_eq!(sessions.kx_hint(&name(0)), None, "the oldest is forgotten");
        assert_eq!(sessions.kx_hint(&name(SERVERS)), Some(NamedGroup::X25519));
        assert_eq!(sessions.servers().len(), SERVERS);
        assert!(sessions.tls12_session(&name(1)).is_none());
    }
}
