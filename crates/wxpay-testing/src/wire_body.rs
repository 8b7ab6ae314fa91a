//! How the body of a response is sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// How a file is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    Whole,
    /// Again and again.
    Endless,
    /// Byte by byte, with this pause before each.
    Slow(Duration),
}

/// A body, and how it is sent.
pub(crate) struct WireBody {
    left: Bytes,
    manner: Manner,
    pause: Option<Pin<Box<Sleep>>>,
}

impl WireBody {
    pub(crate) fn new(body: impl Into<Bytes>, manner: Manner) -> Self {
        Self { left: body.into(), manner, pause: None }
    }
}

impl Body for WireBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let data = match self.manner {
            Manner::Whole => std::mem::take(&mut self.left),
            Manner::Endless => self.left.clone(),
            Manner::Slow(time) => {
                let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(time)));
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
                self.left.split_to(1)
            }
        };
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.manner {
            Manner::Endless if !self.left.is_empty() => SizeHint::default(),
            _ => SizeHint::with_exact(u64::try_from(self.left.len()).unwrap_or(u64::MAX)),
        }
    }
}
