//! Many callers, each of which makes one call after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinSet;
use wxpay_transport::{Error, Transport};

use crate::requests::list;
use crate::until::until;

/// The number of callers.
pub const CALLERS: usize = 64;

/// Callers that run until they are stopped.
#[derive(Debug)]
pub struct Callers {
    tasks: JoinSet<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_stopped: AtomicBool,
    /// The calls of each caller that have ended.
    ended: Vec<AtomicUsize>,
    good: AtomicUsize,
    refused: AtomicUsize,
    first_error: std::sync::Mutex<Option<Error>>,
}

impl Callers {
    /// Starts them.
    pub fn start(client: &(impl Transport + Clone + 'static)) -> Self {
        let ended = (0..CALLERS).map(|_| AtomicUsize::new(0)).collect();
        let shared = Arc::new(Shared { ended, ..Shared::default() });
        let mut tasks = JoinSet::new();
        for caller in 0..CALLERS {
            let (client, shared) = (client.clone(), Arc::clone(&shared));
            tasks.spawn(async move {
                while !shared.is_stopped.load(Ordering::Relaxed) {
                    match client.send(list()).await {
                        Ok(_) => shared.good.fetch_add(1, Ordering::Relaxed),
                        Err(error) => {
                            shared.first_error.lock().expect("no panic").get_or_insert(error);
                            shared.refused.fetch_add(1, Ordering::Relaxed)
                        }
                    };
                    shared.ended[caller].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { tasks, shared }
    }

    /// Waits until each caller has made this many whole calls more: with two, no call is left that began before.
    ///
    /// # Panics
    /// Panics if one takes longer than a minute.
    pub async fn rounds(&self, calls: usize) {
        let ended = || self.shared.ended.iter().map(|ended| ended.load(Ordering::Relaxed));
        for _ in 0..calls {
            let goals: Vec<usize> = ended().map(|ended| ended + 1).collect();
            until("each caller has made its call", || {
                ended().zip(&goals).all(|(ended, goal)| ended >= *goal)
            })
            .await;
        }
    }

    /// Returns how many calls were refused so far.
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Asserts that no call was refused but so many.
    ///
    /// # Panics
    /// Panics if it were more, or fewer.
    pub fn assert_refused(&self, refused: usize, when: &str) {
        let first = self.shared.first_error.lock().expect("no panic");
        assert_eq!(self.refused(), refused, "{when}: {:?}", *first);
    }

    /// Lets all calls end, and returns the number of those that succeeded.
    ///
    /// # Panics
    /// Panics if a caller did.
    pub async fn stop(mut self) -> usize {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no panic");
        }
        self.shared.good.load(Ordering::Relaxed)
    }
}
