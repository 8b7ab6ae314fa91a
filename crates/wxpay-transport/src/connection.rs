//! One HTTP/1.1 connection, driven by the call that uses it.
//!
//! No task is spawned for it: the call polls the connection along with its own request. That spares
//! the wake-ups between two tasks, and a call that is dropped takes its connection with it, closed
//! and not in the pool.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::unconstrained;

use crate::stream::{Heard, Stream, Written};

pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once the connection has ended.
    driver: Option<http1::Connection<TokioIo<Heard<Stream>>, Full<Bytes>>>,
    written: Written,
    heard: Arc<AtomicU64>,
    is_reused: bool,
}

/// Says that an exchange broke.
#[derive(Debug)]
pub(crate) struct Broken {
    /// Hyper gave the request back: it had not begun to write it.
    pub(crate) untouched: bool,
    /// Not a byte of an answer had come on a connection that had been kept.
    pub(crate) is_stale: bool,
    pub(crate) source: hyper::Error,
}

/// Says why a body was not read to its end.
#[derive(Debug)]
pub(crate) enum BodyFailure {
    TooLarge,
    Broken,
}

/// How many bytes the head of an answer may have. Hyper would buffer 400 KiB and more; those of WeChat Pay
/// have about 1 KiB. Hyper takes at most 100 headers.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// How many bytes may come before an answer begins. Hyper skips interim answers (1xx), and counts none of
/// them.
const MAX_BYTES_BEFORE_ANSWER: u64 = 4 * MAX_HEAD_BYTES as u64;

impl Connection {
    pub(crate) async fn open(stream: Stream) -> Result<Self, hyper::Error> {
        let written = stream.written();
        let stream = Heard::new(stream);
        let heard = stream.bytes();
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self { sender, driver: Some(driver), written, heard, is_reused: false })
    }

    /// Returns the counter of the bytes written.
    pub(crate) fn written(&self) -> &Written {
        &self.written
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Broken> {
        let heard_before = self.heard.load(Ordering::Relaxed);
        let mut answer = std::pin::pin!(unconstrained(self.sender.try_send_request(request)));
        let (driver, heard) = (&mut self.driver, &self.heard);
        std::future::poll_fn(|cx| {
            drive(driver, cx);
            // Only the driver completes it, and it has just been driven. Were this task woken for that,
            // it would be polled once more for nothing, and another thread of the runtime be woken to
            // do so. (Unconstrained, since the budget of a task may be spent, which wakes it, too.)
            let cx = &mut Context::from_waker(Waker::noop());
            let polled = answer.as_mut().poll(cx);
            let before_answer = heard.load(Ordering::Relaxed) - heard_before;
            if polled.is_ready() || before_answer <= MAX_BYTES_BEFORE_ANSWER {
                return polled;
            }
            tracing::debug!(before_answer, "a connection is closed: no answer begins");
            *driver = None;
            answer.as_mut().poll(cx)
        })
        .await
        .map_err(|mut e| Broken {
            untouched: e.take_message().is_some(),
            is_stale: self.is_reused && self.heard.load(Ordering::Relaxed) == heard_before,
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

    /// Notes that it was kept after an answer.
    pub(crate) fn keep(&mut self) {
        self.is_reused = true;
    }

    /// Tells whether another request can be sent on it now: it looks at the socket once.
    pub(crate) fn is_usable(&mut self) -> bool {
        drive(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// Lets the connection read and write as far as it can.
fn drive(
    driver: &mut Option<http1::Connection<TokioIo<Heard<Stream>>, Full<Bytes>>>,
    cx: &mut Context<'_>,
) {
    if let Some(connection) = driver
        && let Poll::Ready(ended) = Pin::new(connection).poll(cx)
    {
        // Whoever waits for an answer gets the error; dropping the connection closes it.
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended");
        }
        *driver = None;
    }
}
