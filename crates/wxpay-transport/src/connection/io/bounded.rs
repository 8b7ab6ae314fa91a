//! A stream that ends when a response does not.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::connection::io::metered::{Meter, Metered};

/// Reads so many bytes for each thing that is written, and as many as those have. What is not read is kept
/// for the responses that are still to come, up to a bound.
pub(crate) type BoundedStream<S> = Metered<S, Allowance>;

/// How many bytes may still be read.
#[derive(Debug)]
pub(crate) struct Allowance {
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
    /// Sets the bound, and what is set when there is more.
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
        // One byte for itself and three for the response; of the responses to five questions ten bytes.
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
