//! A stream that reports its traffic to a meter.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Counts or bounds the traffic of a stream.
pub(crate) trait Meter<S>: Unpin {
    /// Reads from the stream.
    fn poll_read(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>>
    where
        S: AsyncRead + Unpin,
    {
        Pin::new(stream).poll_read(cx, buf)
    }

    /// Records bytes read; an error ends the stream.
    fn has_read(&mut self, bytes: usize) -> io::Result<()>;

    /// Records bytes written.
    fn has_written(&mut self, _bytes: usize) {}
}

/// Forwards everything to a stream, and reports it to the meter.
pub(crate) struct Metered<S, M> {
    stream: S,
    meter: M,
}

impl<S, M> Metered<S, M> {
    pub(crate) fn new(stream: S, meter: M) -> Self {
        Self { stream, meter }
    }

    /// Returns the meter.
    pub(crate) fn meter(&self) -> &M {
        &self.meter
    }
}

impl<S: AsyncRead + Unpin, M: Meter<S>> AsyncRead for Metered<S, M> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, meter } = &mut *self;
        let before = buf.filled().len();
        ready!(meter.poll_read(stream, cx, buf))?;
        Poll::Ready(meter.has_read(buf.filled().len().saturating_sub(before)))
    }
}

impl<S: AsyncWrite + Unpin, M: Meter<S>> Metered<S, M> {
    fn note_written(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.meter.has_written(bytes);
        }
        written
    }
}

impl<S: AsyncWrite + Unpin, M: Meter<S>> AsyncWrite for Metered<S, M> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: fmt::Debug, M: fmt::Debug> fmt::Debug for Metered<S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, meter } = self;
        f.debug_struct("Metered").field("stream", stream).field("meter", meter).finish()
    }
}
