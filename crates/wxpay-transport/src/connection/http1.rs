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
}
