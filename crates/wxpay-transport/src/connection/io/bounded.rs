//! A stream that ends when a response is too long.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::connection::io::metered::{Meter, Metered};

/// Allows reading a number of bytes per written message, plus as many as the message has. What is not
/// read is kept for the responses still to come, up to a bound.
pub(crate) type BoundedStream<S> = Metered<S, Allowance>;

/// Number of bytes that may still be read.
#[derive(Debug)]
pub(crate) struct Allowance {
    bound: Bound,
    left: usize,
    is_exceeded: Arc<AtomicBool>,
}

/// Limits on bytes read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    /// For each written message.
    pub(crate) each: usize,
    /// In total, however much was written.
    pub(crate) most: usize,
}

impl<S> BoundedStream<S> {
    /// Wraps a stream; `is_exceeded` is set when the bound is exceeded.
    pub(crate) fn bounded(stream: S, bound: Bound, is_exceeded: Arc<AtomicBool>) -> Self {
        Self::new(stream, Allowance { bound, left: 0, is_exceeded })
    }
}

impl<S> Meter<S> for Allowance {
    fn has_read(&mut self, bytes: usize) -> io::Result<()> {
        let Some(left) = self.left.checked_sub(bytes) else {
            self.is_exceeded.store(true, Ordering::Relaxed);
            return Err(io::Error::other("the response is too long"));
        };
        self.left = left;
        Ok(())
    }

    fn has_written(&mut self, bytes: usize) {
        if bytes > 0 {
            let left = self.left.saturating_add(bytes).saturating_add(self.bound.each);
            self.left = left.min(self.bound.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn so_much_is_read_for_each_thing_that_is_written_and_not_more() {
        // One byte, as long as the request, and three more for each response; at most ten for five requests.
        for (questions, bytes) in [(1, 4), (2, 8), (5, 10)] {
            let (near, mut far) = tokio::io::duplex(64);
            let is_exceeded = Arc::default();
            let bound = Bound { each: 3, most: 10 };
            let mut stream = BoundedStream::bounded(near, bound, Arc::clone(&is_exceeded));
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
