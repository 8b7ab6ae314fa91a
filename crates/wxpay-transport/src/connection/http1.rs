//! One HTTP/1.1 connection, driven by the call that uses it.
//!
//! No task is spawned for it: the call polls the connection along with its own request. That spares
//! the wake-ups between two tasks, and a call that is dropped takes its connection with it, closed
//! and not in the pool.

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
    /// `None` once the connection has ended.
    driver: Option<http1::Connection<TokioIo<CountedStream>, Full<Bytes>>>,
    traffic: Traffic,
    /// It has carried a request before.
    is_reused: bool,
    /// The runtime that tells it of events: on another one it may hear of none.
    runtime: Option<runtime::Id>,
}

/// Says that an exchange broke.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Hyper gave the request back: it had not begun to write it.
    pub(crate) untouched: bool,
    /// Not a byte of a response had come on a connection that had been kept.
    pub(crate) is_stale: bool,
    pub(crate) source: hyper::Error,
}

/// Says why a body was not read to its end.
#[derive(Debug)]
pub(crate) enum BodyFailure {
    TooLarge,
    Broken,
}

/// How many bytes the head of a response may have. Hyper would buffer 400 KiB and more; those of WeChat Pay
/// have about 1 KiB. Hyper takes at most 100 headers.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// How many bytes may come before a response begins. Hyper skips interim responses (1xx), and counts none of
/// them.
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

    /// Returns what is counted on it.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Returns the runtime that it belongs to.
    pub(crate) fn runtime(&self) -> Option<runtime::Id> {
        self.runtime
    }

    /// Tells whether it has carried a request before.
    pub(crate) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// The socket is looked at once more, right before the first byte is written: what comes before that
    /// cannot be a response to this request, and ends the connection with nothing sent.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Broken> {
        let (heard_before, written_before) = (self.traffic.heard(), self.traffic.written());
        let mut response = std::pin::pin!(unconstrained(self.sender.try_send_request(request)));
        let (driver, traffic) = (&mut self.driver, &self.traffic);
        let mut has_looked = false;
        std::future::poll_fn(|cx| {
            if !has_looked {
                has_looked = true;
                traffic.looking(|| drive(driver, &mut Context::from_waker(Waker::noop())));
            }
            drive(driver, cx);
            // Only the driver completes it, and it has just been driven. Were this task woken for that,
            // it would be polled once more for nothing, and another thread of the runtime be woken to
            // do so. (Unconstrained, since the budget of a task may be spent, which wakes it, too.)
            let cx = &mut Context::from_waker(Waker::noop());
            let polled = response.as_mut().poll(cx);
            let before_response = traffic.heard() - heard_before;
            if polled.is_ready() || before_response <= MAX_BYTES_BEFORE_RESPONSE {
                return polled;
            }
            log::debug!(before_response, "a connection is closed: no response begins");
            *driver = None;
            response.as_mut().poll(cx)
        })
        .await
        .map_err(|mut e| Broken {
            untouched: e.take_message().is_some() && self.traffic.written() == written_before,
            is_stale: self.is_reused && self.traffic.heard() == heard_before,
            source: e.into_error(),
        })
    }

    /// Reads a body to its end, as long as it is not larger than the limit.
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
        let mut rest = BytesMut::new();
        loop {
            let frame = std::future::poll_fn(|cx| {
                drive(&mut self.driver, cx);
                Pin::new(&mut body).poll_frame(cx)
            })
            .await;
            let data = match frame {
                None => break,
                Some(Err(_)) => return Err(BodyFailure::Broken),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(_trailers) => continue,
                },
            };
            if first.len() + rest.len() + data.len() > limit {
                return Err(BodyFailure::TooLarge);
            }
            // Most bodies come in one piece, which then is not copied.
            if first.is_empty() {
                first = data;
            } else {
                rest.extend_from_slice(&data);
            }
        }
        if rest.is_empty() {
            return Ok(first);
        }
        let mut whole = BytesMut::with_capacity(first.len() + rest.len());
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&rest);
        Ok(whole.freeze())
    }

    /// Notes that it has carried a request.
    pub(crate) fn mark_reused(&mut self) {
        self.is_reused = true;
    }

    /// Tells whether another request can be sent on it now, by a look at the socket itself.
    ///
    /// Nothing may have come since it was at rest. On a connection that has carried no request TLS may
    /// still bring its tickets; on one that has, they came before the response, and whatever comes now, be it
    /// a part of a record, may belong to a response that nobody asked for.
    pub(crate) fn is_usable(&mut self) -> bool {
        let (read_before, heard_before) = (self.traffic.read(), self.traffic.heard());
        let driver = &mut self.driver;
        self.traffic.looking(|| drive(driver, &mut Context::from_waker(Waker::noop())));
        let is_clean = self.traffic.heard() == heard_before
            && (!self.is_reused || self.traffic.read() == read_before);
        is_clean && self.driver.is_some() && self.sender.is_ready()
    }
}

/// Returns the runtime that the caller runs on.
pub(crate) fn current_runtime() -> Option<runtime::Id> {
    Handle::try_current().ok().map(|handle| handle.id())
}

/// Lets the connection read and write as far as it can.
fn drive(
    driver: &mut Option<http1::Connection<TokioIo<CountedStream>, Full<Bytes>>>,
    cx: &mut Context<'_>,
) {
    if let Some(connection) = driver
        && let Poll::Ready(ended) = Pin::new(connection).poll(cx)
    {
        // Whoever waits for a response gets the error; dropping the connection closes it.
        if let Err(error) = ended {
            log::debug!(%error, "a connection ended");
        }
        *driver = None;
    }
}
