//! One HTTP/1.1 connection, driven by the call that uses it.
//!
//! No task is spawned for it: the call polls the connection along with its own request. That avoids
//! wake-ups between two tasks, and dropping a call drops its connection, which is closed and not
//! returned to the pool.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::runtime::{self, Handle};
use tokio::task::unconstrained;

use crate::connection::io::stream::{CountedStream, Stream};
use crate::connection::io::traffic::Traffic;
use crate::observe::log;

pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` after the connection has ended.
    driver: Option<http1::Connection<TokioIo<CountedStream>, Full<Bytes>>>,
    traffic: Traffic,
    /// Whether it has carried a request before.
    is_reused: bool,
    /// The runtime that drives its I/O events: on another one it may receive none.
    runtime: Option<runtime::Id>,
}

/// A failed exchange.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Hyper returned the request: it had not begun to write it. Bytes that were written are alerts of TLS.
    pub(crate) untouched: bool,
    /// A kept connection ended before the first byte of a response.
    pub(crate) is_stale: bool,
    pub(crate) source: hyper::Error,
}

/// Why a body was not read to its end.
#[derive(Debug)]
pub(crate) enum BodyFailure {
    TooLarge,
    Broken,
}

/// Maximum size of a response head, in bytes. Hyper would buffer 400 KiB and more; those of WeChat Pay
/// have about 1 KiB. Hyper accepts at most 100 headers.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Maximum number of bytes before a response begins. Hyper skips interim responses (1xx) without
/// counting them.
const MAX_BYTES_BEFORE_RESPONSE: u64 = 4 * MAX_HEAD_BYTES as u64;

impl Connection {
    pub(crate) async fn open(stream: Stream) -> Result<Self, hyper::Error> {
        let traffic = stream.traffic();
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .handshake(TokioIo::new(CountedStream::counted(stream)))
            .await?;
        let (driver, runtime) = (Some(driver), current_runtime());
        Ok(Self { sender, driver, traffic, is_reused: false, runtime })
    }

    /// Returns its byte counters.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Returns the runtime it belongs to.
    pub(crate) fn runtime(&self) -> Option<runtime::Id> {
        self.runtime
    }

    /// Returns whether it has carried a request before.
    pub(crate) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// Checks the socket again right before the first byte is written: anything received before that
    /// cannot be a response to this request, and ends the connection with nothing sent.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Broken> {
        let heard_before = self.traffic.heard();
        let mut response = std::pin::pin!(unconstrained(self.sender.try_send_request(request)));
        let (driver, traffic) = (&mut self.driver, &self.traffic);
        let mut has_looked = false;
        std::future::poll_fn(|cx| {
            if !has_looked {
                has_looked = true;
                traffic.looking(|| drive(driver, &mut Context::from_waker(Waker::noop())));
            }
            drive(driver, cx);
            // Only the driver completes it, and it has just been driven. Waking this task for that would
            // only poll it once more, and could wake another thread of the runtime to do so.
            // (Unconstrained, because an exhausted task budget would wake it, too.)
            let cx = &mut Context::from_waker(Waker::noop());
            let polled = response.as_mut().poll(cx);
            let before_response = traffic.heard() - heard_before;
            if polled.is_ready() || before_response <= MAX_BYTES_BEFORE_RESPONSE {
                return polled;
            }
            log::debug!(before_response, "closing a connection: no response begins");
            *driver = None;
            response.as_mut().poll(cx)
        })
        .await
        .map_err(|mut e| Broken {
            untouched: e.take_message().is_some(),
            is_stale: self.is_reused && self.traffic.heard() == heard_before,
            source: e.into_error(),
        })
    }

    /// Reads a body to its end, up to the limit.
    pub(crate) async fn read(
        &mut self,
        mut body: Incoming,
        limit: usize,
    ) -> Result<Bytes, BodyFailure> {
        let announced = body.size_hint().lower();
        if announced > limit as u64 {
            return Err(BodyFailure::TooLarge);
        }
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        while let Some(data) = self.next(&mut body).await {
            let data = data.map_err(|_| BodyFailure::Broken)?;
            let length = first.len() + whole.len() + data.len();
            if length > limit {
                return Err(BodyFailure::TooLarge);
            }
            // Most bodies come in one piece, which is then not copied.
            if first.is_empty() && whole.is_empty() {
                first = data;
                continue;
            }
            if whole.is_empty() {
                // Of the announced length, not grown: that would take up to twice as much.
                whole.reserve(length.max(usize::try_from(announced).unwrap_or(limit)));
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&data);
        }
        Ok(if whole.is_empty() { first } else { whole.freeze() })
    }

    /// Reads the next piece of a body, at most as large as the read buffer; `None` at its end. Skips trailers.
    pub(crate) async fn next(
        &mut self,
        body: &mut Incoming,
    ) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            let frame = std::future::poll_fn(|cx| {
                drive(&mut self.driver, cx);
                Pin::new(&mut *body).poll_frame(cx)
            });
            match frame.await? {
                Err(error) => return Some(Err(error)),
                Ok(frame) => match frame.into_data() {
                    Ok(data) => return Some(Ok(data)),
                    Err(_trailers) => {}
                },
            }
        }
    }

    /// Records that it has carried a request.
    pub(crate) fn mark_reused(&mut self) {
        self.is_reused = true;
    }

    /// Returns whether another request can be sent now, by checking the socket itself.
    ///
    /// Nothing may have arrived while it was idle. On an unused connection TLS may still deliver session
    /// tickets; on a used one they came before the response, and anything that arrives now, even part of
    /// a record, may belong to a response that was not requested.
    pub(crate) fn is_usable(&mut self) -> bool {
        let (read_before, heard_before) = (self.traffic.read(), self.traffic.heard());
        let driver = &mut self.driver;
        self.traffic.looking(|| drive(driver, &mut Context::from_waker(Waker::noop())));
        let is_clean = self.traffic.heard() == heard_before
            && (!self.is_reused || self.traffic.read() == read_before);
        is_clean && self.driver.is_some() && self.sender.is_ready()
    }
}

/// Returns the runtime of the caller.
pub(crate) fn current_runtime() -> Option<runtime::Id> {
    Handle::try_current().ok().map(|handle| handle.id())
}

/// Reads and writes as far as possible.
fn drive(
    driver: &mut Option<http1::Connection<TokioIo<CountedStream>, Full<Bytes>>>,
    cx: &mut Context<'_>,
) {
    if let Some(connection) = driver
        && let Poll::Ready(ended) = Pin::new(connection).poll(cx)
    {
        // The waiting response future gets the error; dropping the connection closes it.
        if let Err(error) = ended {
            log::debug!(%error, "a connection ended");
        }
        *driver = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::server::TlsStream;
    use tokio_rustls::{TlsAcceptor, TlsConnector};
    use wxpay_testing::{ServerTls, client_config, server_config};

    use super::*;
    use crate::connection::io::stream::{CountedTcp, Link};

    async fn connected(tls: ServerTls) -> (Connection, TlsStream<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        accepted.set_nodelay(true).unwrap();
        let connector = TlsConnector::from(Arc::new(client_config()));
        let name = ServerName::try_from("localhost").unwrap();
        let link = Link::Tcp(CountedTcp::counted(tcp));
        let (stream, server) = tokio::join!(
            connector.connect(name, link),
            TlsAcceptor::from(Arc::new(server_config(tls))).accept(accepted),
        );
        let connection = Connection::open(Stream::Tls(Box::new(stream.unwrap()))).await;
        (connection.unwrap(), server.unwrap())
    }

    fn request() -> Request<Full<Bytes>> {
        Request::post("/v3/x").header("host", "x").body(Full::from("{}")).unwrap()
    }

    /// TLS responds to what it reads with alerts of its own: `close_notify`, or what was wrong.
    #[tokio::test]
    async fn an_alert_is_no_part_of_a_request_that_was_not_begun() {
        for tls in [ServerTls::Good, ServerTls::Tls12] {
            for (is_used, is_orderly) in
                [(false, true), (true, true), (false, false), (true, false)]
            {
                let (mut connection, mut server) = connected(tls).await;
                if is_used {
                    let (response, ()) = tokio::join!(connection.send(request()), async {
                        assert_ne!(server.read(&mut [0; 1024]).await.unwrap(), 0);
                        server.write_all(b"HTTP/1.1 204 X\r\n\r\n").await.unwrap();
                    });
                    connection.read(response.unwrap().into_body(), 0).await.unwrap();
                    connection.mark_reused();
                }
                if is_orderly {
                    server.shutdown().await.unwrap();
                } else {
                    // As a load balancer does that has no TLS of its own.
                    server.get_mut().0.write_all(b"HTTP/1.1 408 X\r\n\r\n").await.unwrap();
                }
                let before = connection.traffic().written();
                let broken = connection.send(request()).await.unwrap_err();
                let case = format!("{tls:?}, used: {is_used}, orderly: {is_orderly}");
                let written = connection.traffic().written() - before;
                assert!(broken.untouched, "{case}: {written} bytes, {:?}", broken.source);
            }
        }
    }

    async fn plain() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        server.set_nodelay(true).unwrap();
        let stream = Stream::Plain(Link::Tcp(CountedTcp::counted(tcp)));
        (Connection::open(stream).await.unwrap(), server)
    }

    /// Sends a request, which the server answers with these bytes, each piece once the one before has been read.
    async fn exchange(
        connection: &mut Connection,
        server: &mut TcpStream,
        said: &[&[u8]],
        limit: usize,
    ) -> Result<Result<Bytes, BodyFailure>, Broken> {
        let traffic = connection.traffic().clone();
        let begin = traffic.read();
        let answers = async {
            assert_ne!(server.read(&mut [0; 1024]).await.unwrap(), 0);
            let mut told = begin;
            for piece in said {
                server.write_all(piece).await.unwrap();
                told += piece.len() as u64;
                while traffic.read() < told {
                    tokio::task::yield_now().await;
                }
            }
            std::future::pending::<()>().await;
        };
        let asks = async {
            let response = connection.send(request()).await?;
            Ok(connection.read(response.into_body(), limit).await)
        };
        tokio::select! {
            ended = asks => ended,
            () = answers => unreachable!(),
        }
    }

    #[tokio::test]
    async fn a_body_is_read_whole_up_to_its_limit() {
        const CHUNKED: &[u8] = b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n";
        let announced: &[&[u8]] =
            &[b"HTTP/1.1 200 X\r\ncontent-length: 12\r\n\r\nabcd", b"efgh", b"ijkl"];
        let chunked: &[&[u8]] = &[CHUNKED, b"4\r\nefgh\r\n", b"4\r\nijkl\r\n0\r\n\r\n"];
        for said in [announced, chunked] {
            for (limit, fits) in [(11, false), (12, true), (13, true), (1000, true)] {
                let (mut connection, mut server) = plain().await;
                let body = exchange(&mut connection, &mut server, said, limit).await.unwrap();
                match body {
                    Ok(body) => assert_eq!((&*body, fits), (&b"abcdefghijkl"[..], true), "{limit}"),
                    Err(failure) => {
                        assert!(matches!(failure, BodyFailure::TooLarge) && !fits, "{limit}");
                    }
                }
            }
        }
        let (mut connection, mut server) = plain().await;
        let none: &[&[u8]] = &[b"HTTP/1.1 204 X\r\n\r\n"];
        let body = exchange(&mut connection, &mut server, none, 0).await.unwrap();
        assert!(body.unwrap().is_empty());
    }

    #[tokio::test]
    async fn interim_responses_are_skipped_and_do_not_go_on_for_ever() {
        let interim = b"HTTP/1.1 102 X\r\n\r\n".repeat(1000);
        let (mut connection, mut server) = plain().await;
        let few: &[&[u8]] = &[&interim.repeat(11), b"HTTP/1.1 204 X\r\n\r\n"];
        // The second time, what came before does not count.
        for _ in 0..2 {
            let body = exchange(&mut connection, &mut server, few, 0).await.unwrap();
            assert!(body.unwrap().is_empty());
            connection.mark_reused();
        }
        let many: &[&[u8]] = &[&interim.repeat(15)];
        let broken = exchange(&mut connection, &mut server, many, 0).await.unwrap_err();
        assert!(!broken.untouched && !broken.is_stale, "{:?}", broken.source);
        assert!(!connection.is_usable());
    }

    #[tokio::test]
    async fn a_kept_connection_that_ends_before_a_response_begins_is_stale() {
        for (is_kept, begin, is_stale) in
            [(false, &b""[..], false), (true, b"", true), (true, b"HTTP/1.1 2", false)]
        {
            let (mut connection, mut server) = plain().await;
            if is_kept {
                let said: &[&[u8]] = &[b"HTTP/1.1 204 X\r\n\r\n"];
                exchange(&mut connection, &mut server, said, 0).await.unwrap().unwrap();
                connection.mark_reused();
            }
            assert_eq!(connection.is_reused(), is_kept);
            let (sent, ()) = tokio::join!(connection.send(request()), async {
                assert_ne!(server.read(&mut [0; 1024]).await.unwrap(), 0);
                server.write_all(begin).await.unwrap();
                drop(server);
            });
            let broken = sent.unwrap_err();
            assert_eq!((broken.untouched, broken.is_stale), (false, is_stale), "{begin:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_is_usable_while_nothing_was_heard_on_it() {
        let (mut connection, mut server) = plain().await;
        assert!(connection.is_usable());
        server.write_all(b"H").await.unwrap();
        while connection.is_usable() {
            tokio::task::yield_now().await;
        }
        let (mut connection, server) = plain().await;
        assert!(connection.is_usable());
        drop(server);
        while connection.is_usable() {
            tokio::task::yield_now().await;
        }
    }

    /// A server of TLS 1.3 sends tickets after the handshake.
    #[tokio::test]
    async fn tickets_may_come_on_an_unused_connection_only() {
        for is_used in [false, true] {
            let (mut connection, mut server) = connected(ServerTls::Good).await;
            server.flush().await.unwrap();
            if is_used {
                connection.mark_reused();
            }
            let before = connection.traffic().read();
            let mut usable = connection.is_usable();
            while connection.traffic().read() == before {
                tokio::task::yield_now().await;
                usable = connection.is_usable();
            }
            assert_eq!(usable, !is_used);
        }
    }

    #[tokio::test]
    async fn it_belongs_to_the_runtime_that_opened_it() {
        let (connection, _server) = plain().await;
        assert_eq!(connection.runtime(), Some(Handle::current().id()));
        assert_eq!(std::thread::spawn(current_runtime).join().unwrap(), None);
    }
}
