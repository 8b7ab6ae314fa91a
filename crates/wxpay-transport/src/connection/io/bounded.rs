//! A stream that ends when an answer does not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads so many bytes for each thing that is written, and as many as those have. What is not read is kept
/// for the answers that are still to come, up to a bound.
#[derive(Debug)]
pub(crate) struct BoundedStream<S> {
    stream: S,
    bound: Bound,
    left: usize,
    is_exceeded: Arc<AtomicBool>,
}

/// How many bytes may be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// For each thing that is written.
    pub(crate) each: usize,
    /// Together, however much was written.
    pub(crate) most: usize,
}

impl<S> BoundedStream<S> {
    /// Sets the bound, and what is to be set when there is more.
    pub(crate) fn new(stream: S, bound: Bound, is_exceeded: Arc<AtomicBool>) -> Self {
        Self { stream, bound, left: 0, is_exceeded }
    }

    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes @ 1..)) = written {
            let left = self.left.saturating_add(bytes).saturating_add(self.bound.each);
            self.left = left.min(self.bound.most);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len().saturating_sub(before);
        let Some(left) = self.left.checked_sub(read) else {
            self.is_exceeded.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(io::Error::other("the answer is too long")));
        };
        self.left = left;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BoundedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.count(written)
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn so_much_is_read_for_each_thing_that_is_written_and_not_more() {
        // One byte for itself and three for the answer; of the answers to five questions ten bytes.
        for (questions, bytes) in [(1, 4), (2, 8), (5, 10)] {
            let (near, mut far) = tokio::io::duplex(64);
            let is_exceeded = Arc::default();
            let bound = Bound { each: 3, most: 10 };
            let mut stream = BoundedStream::new(near, bound, Arc::clone(&is_exceeded));
            for _ in 0..3 {
                for _ in 0..questions {
                    stream.write_all(b"?").await.unwrap();
                }
                far.write_all(&b"1234567890"[..bytes]).await.unwrap();
                assert_eq!(stream.read_exact(&mut vec![0; bytes]).await.unwrap(), bytes);
            }
            assert!(!is_exceeded.load(Ordering::Relaxed));
            far.write_all(b"!").await.unwrap();
            assert!(stream.read(&mut [0; 4]).await.is_err());
            assert!(is_exceeded.load(Ordering::Relaxed));
        }
    }
}
