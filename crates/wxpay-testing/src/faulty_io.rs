//! A stream with scripted faults.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::fault::{Fault, Faults, How, Point};
use crate::live::LiveConnection;

/// TCP that can end in a reset.
#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Socket {
    pub(crate) fn new(tcp: TcpStream, reset: Arc<AtomicBool>) -> Self {
        Self { tcp, reset }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // If it fails, the connection is closed instead, and the test that expected a reset fails.
            let _ = self.tcp.set_zero_linger();
        }
    }
}

/// The script of one connection; shared by its stream and its service.
#[derive(Debug)]
pub(crate) struct Script {
    faults: Arc<Faults>,
    reset: Arc<AtomicBool>,
    close_idle_after: Option<Duration>,
    now: Mutex<Now>,
    /// Until the connection stalls.
    live: Mutex<Option<LiveConnection>>,
}

#[derive(Debug, Default)]
struct Now {
    /// Whether a request is being read or processed.
    busy: bool,
    fault: Option<Fault>,
    read: usize,
    written: usize,
    stalled: bool,
    /// Whether the response has been passed to the operating system.
    flushed: bool,
    /// The fault to apply after the response has been passed to the operating system.
    over: Option<How>,
}

impl Script {
    pub(crate) fn new(
        faults: Arc<Faults>,
        reset: Arc<AtomicBool>,
        close_idle_after: Option<Duration>,
        live: LiveConnection,
    ) -> Self {
        let live = Mutex::new(Some(live));
        Self { faults, reset, close_idle_after, now: Mutex::default(), live }
    }

    /// Records that the connection is stalled.
    pub(crate) fn stand_still(&self) {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Returns the fault of the current request, if it is for this point.
    pub(crate) fn fault_at(&self, at: Point) -> Option<How> {
        self.lock().fault.filter(|fault| fault.at == at).map(|fault| fault.how)
    }

    /// Returns an error that ends the connection.
    pub(crate) fn end(&self, how: How) -> io::Error {
        self.reset.store(how == How::Reset, Ordering::Relaxed);
        io::Error::new(io::ErrorKind::ConnectionAborted, "a fault was asked for")
    }

    /// Records that the response is complete: what is read from here on is another request.
    pub(crate) fn answered(&self) {
        self.lock().busy = false;
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many bytes may be read before the next check.
    fn may_read(&self) -> usize {
        let now = self.lock();
        let fault = if now.busy { now.fault } else { self.faults.peek() };
        match fault.map(|f| f.at) {
            Some(Point::RequestBytes(n)) => {
                n.max(1).saturating_sub(if now.busy { now.read } else { 0 }).max(1)
            }
            _ => usize::MAX,
        }
    }

    /// Records that bytes were read; returns the fault to apply.
    fn have_read(&self, n: usize) -> Option<How> {
        let mut now = self.lock();
        if !now.busy {
            let fault = self.faults.take(|at| !matches!(at, Point::Accept | Point::Handshake));
            *now = Now { busy: true, fault, ..Now::default() };
        }
        now.read += n;
        match now.fault {
            Some(Fault { at: Point::RequestBytes(at), how }) if now.read >= at.max(1) => Some(how),
            _ => None,
        }
    }

    /// Records that everything written has been flushed. Returns whether that completes a response after which
    /// something happens: the end of the connection, or its idle time.
    fn have_flushed(&self) -> bool {
        let mut now = self.lock();
        if now.busy || now.written == 0 || now.flushed {
            return false;
        }
        now.flushed = true;
        if let Some(Fault { at: Point::Responded, how }) = now.fault {
            now.over = Some(how);
        }
        now.over.is_some() || self.close_idle_after.is_some()
    }

    /// Returns whether the connection should end in a reset.
    fn resets(&self) -> bool {
        self.reset.load(Ordering::Relaxed)
    }

    /// Returns whether a response is complete, and no other request has begun.
    fn is_idle(&self) -> bool {
        let now = self.lock();
        !now.busy && now.flushed
    }

    /// Returns how many bytes may be written, or the fault to apply.
    fn may_write(&self) -> Result<usize, How> {
        let now = self.lock();
        match now.fault {
            Some(Fault { at: Point::ResponseBytes(at), how }) => {
                match at.saturating_sub(now.written) {
                    0 => Err(how),
                    left => Ok(left),
                }
            }
            _ => Ok(usize::MAX),
        }
    }
}

/// A stream that follows a script. It lies above TLS, so it counts bytes of HTTP.
#[derive(Debug)]
pub(crate) struct FaultyIo<S> {
    stream: S,
    script: Arc<Script>,
    /// Runs while the connection is idle.
    idle: Option<Pin<Box<Sleep>>>,
}

impl<S> FaultyIo<S> {
    pub(crate) fn new(stream: S, script: Arc<Script>) -> Self {
        Self { stream, script, idle: None }
    }

    fn break_off<T>(&self, how: How) -> Poll<io::Result<T>> {
        match how {
            How::Stall => {
                self.script.lock().stalled = true;
                self.script.stand_still();
                Poll::Pending
            }
            _ => Poll::Ready(Err(self.script.end(how))),
        }
    }

    /// Returns whether the connection has been idle for long enough; wakes the task when it has.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(limit) = self.script.close_idle_after.filter(|_| self.script.is_idle()) else {
            self.idle = None;
            return false;
        };
        let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        idle.as_mut().poll(cx).is_ready()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FaultyIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.script.lock().stalled {
            return Poll::Pending;
        }
        let over = self.script.lock().over;
        match over {
            // End of input: hyper then closes the connection properly.
            Some(How::Close) => return Poll::Ready(Ok(())),
            Some(how) => return self.break_off(how),
            None if self.poll_idle(cx) => return Poll::Ready(Ok(())),
            None => {}
        }
        let mut part = buf.take(self.script.may_read());
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut part);
        let filled = part.filled().len();
        let how = match read {
            Poll::Ready(Ok(())) if filled > 0 => self.script.have_read(filled),
            other => return other,
        };
        // `part` initialised these bytes of `buf`.
        let part_bytes = part.filled().to_vec();
        buf.put_slice(&part_bytes);
        match how {
            Some(how) => self.break_off(how),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FaultyIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let limit = match self.script.may_write() {
            Ok(limit) => limit.min(buf.len()),
            Err(how) => return self.break_off(how),
        };
        let (part, _) = buf.split_at(limit);
        let written = Pin::new(&mut self.stream).poll_write(cx, part);
        if let Poll::Ready(Ok(n)) = &written {
            self.script.lock().written += n;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) && self.script.have_flushed() {
            // hyper may not be waiting for input yet: wake it.
            cx.waker().wake_by_ref();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.script.resets() {
            // A FIN, or a TLS close_notify, would precede the RST.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
