//! Counts the connections that may still deliver something.

use tokio::sync::watch;

/// Counts the connections that have neither ended nor been stalled. Clones share the count.
#[derive(Debug, Clone)]
pub(crate) struct Live(watch::Sender<usize>);

/// One of these connections; dropping it decrements the count.
#[derive(Debug)]
pub(crate) struct LiveConnection(Live);

impl Live {
    pub(crate) fn begin(&self) -> LiveConnection {
        self.0.send_modify(|count| *count += 1);
        LiveConnection(self.clone())
    }

    /// Waits until there are none.
    pub(crate) async fn none(&self) {
        // It fails only after the sender is dropped, and `self` holds it.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Default for Live {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Drop for LiveConnection {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
