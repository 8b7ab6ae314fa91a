//! Ids in the memory of this process.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::replay::{Begun, Claim, ReplayStore, ReplayStoreError, StoreFinding};

/// How many ids are kept by default.
const CAPACITY: usize = 1 << 20;

/// Keeps the ids of notifications in the memory of this process, for one process that may forget them when it restarts.
/// Clones share the ids.
///
/// It never forgets an id before its time: if there is no room for another one, the notification is not handed over,
/// and WeChat Pay sends it again.
#[derive(Clone)]
pub struct MemoryReplayStore {
    ids: Arc<Mutex<Ids>>,
    capacity: usize,
}

#[derive(Default)]
struct Ids {
    by_id: HashMap<Arc<str>, Entry>,
    /// When each runs out, the first one first.
    ends: BTreeSet<(Instant, Arc<str>)>,
}

struct Entry {
    /// The token of the claim that holds it; `None` once it is done.
    token: Option<Box<str>>,
    end: Instant,
}

impl MemoryReplayStore {
    /// Creates an empty store for 1,048,576 ids, some 200 MiB if it is full.
    pub fn new() -> Self {
        Self { ids: Arc::default(), capacity: CAPACITY }
    }

    /// Sets how many ids are kept at most.
    #[must_use]
    pub fn capacity(mut self, ids: usize) -> Self {
        self.capacity = ids;
        self
    }

    /// Locks the ids, without those that have run out.
    fn ids(&self) -> MutexGuard<'_, Ids> {
        // No code panics while it holds the lock.
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while ids.ends.first().is_some_and(|(end, _)| *end <= now) {
            if let Some((_, id)) = ids.ends.pop_first() {
                ids.by_id.remove(&id);
            }
        }
        ids
    }
}

impl Ids {
    /// Sets an entry, in place of the one that is there.
    fn set(&mut self, id: &str, token: Option<&str>, lasts: Duration) {
        const LONGEST: Duration = Duration::from_secs(366 * 86400);
        self.remove(id);
        let id: Arc<str> = id.into();
        let end = Instant::now() + lasts.min(LONGEST);
        self.ends.insert((end, Arc::clone(&id)));
        self.by_id.insert(id, Entry { token: token.map(Into::into), end });
    }

    fn remove(&mut self, id: &str) {
        if let Some((id, entry)) = self.by_id.remove_entry(id) {
            self.ends.remove(&(entry.end, id));
        }
    }

    /// Returns whether this claim holds its id.
    fn is_held_by(&self, claim: &Claim) -> bool {
        self.by_id
            .get(claim.id())
            .is_some_and(|entry| entry.token.as_deref() == Some(claim.token()))
    }
}

impl Default for MemoryReplayStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl ReplayStore for MemoryReplayStore {
    async fn begin(&self, claim: &Claim, hold: Duration) -> Result<Begun, ReplayStoreError> {
        let mut ids = self.ids();
        match ids.by_id.get(claim.id()).map(|entry| entry.token.as_deref()) {
            Some(None) => return Ok(Begun::Done),
            Some(Some(token)) if token != claim.token() => return Ok(Begun::InProgress),
            Some(_) => return Ok(Begun::First),
            None => {}
        }
        if ids.by_id.len() >= self.capacity {
            return Err(ReplayStoreError::full(self.capacity));
        }
        ids.set(claim.id(), Some(claim.token()), hold);
        Ok(Begun::First)
    }

    async fn done(&self, claim: &Claim, keep: Duration) -> Result<bool, ReplayStoreError> {
        let mut ids = self.ids();
        let is_held = ids.is_held_by(claim);
        // Even if the store is full by now: it was handed over.
        ids.set(claim.id(), None, keep);
        Ok(is_held)
    }

    async fn release(&self, claim: &Claim) -> Result<(), ReplayStoreError> {
        let mut ids = self.ids();
        if ids.is_held_by(claim) {
            ids.remove(claim.id());
        }
        Ok(())
    }

    async fn check(&self) -> Result<Vec<StoreFinding>, ReplayStoreError> {
        Ok(vec![StoreFinding::InMemory])
    }
}

impl fmt::Debug for MemoryReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryReplayStore")
            .field("ids", &self.ids().by_id.len())
            .field("capacity", &self.capacity)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(30);
    const KEEP: Duration = Duration::from_secs(86400);

    fn claim(id: &str) -> Claim {
        Claim::new(id).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_is_taken_once_and_stays_done() {
        let store = MemoryReplayStore::new();
        let (one, other) = (claim("1"), claim("1"));
        assert_eq!(store.begin(&one, HOLD).await.unwrap(), Begun::First);
        assert_eq!(store.begin(&one, HOLD).await.unwrap(), Begun::First, "repeated");
        assert_eq!(store.begin(&other, HOLD).await.unwrap(), Begun::InProgress);
        assert_eq!(store.begin(&claim("2"), HOLD).await.unwrap(), Begun::First);
        assert!(store.done(&one, KEEP).await.unwrap());
        tokio::time::advance(Duration::from_secs(86399)).await;
        assert_eq!(store.begin(&other, HOLD).await.unwrap(), Begun::Done);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(store.begin(&other, HOLD).await.unwrap(), Begun::First);
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_ran_out_or_was_given_back_is_taken_by_another() {
        let store = MemoryReplayStore::new();
        let (dead, next, last) = (claim("1"), claim("1"), claim("1"));
        store.begin(&dead, HOLD).await.unwrap();
        tokio::time::advance(HOLD).await;
        assert_eq!(store.begin(&next, HOLD).await.unwrap(), Begun::First);
        // It is not its own any more.
        store.release(&dead).await.unwrap();
        assert_eq!(store.begin(&last, HOLD).await.unwrap(), Begun::InProgress);
        store.release(&next).await.unwrap();
        assert_eq!(store.begin(&last, HOLD).await.unwrap(), Begun::First);
        // It was handed over all the same, and nobody undoes that.
        assert!(!store.done(&dead, KEEP).await.unwrap());
        store.release(&last).await.unwrap();
        assert_eq!(store.begin(&next, HOLD).await.unwrap(), Begun::Done);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_store_refuses_until_an_id_runs_out_and_forgets_none() {
        let store = MemoryReplayStore::new().capacity(2);
        for id in ["1", "2"] {
            let claim = claim(id);
            store.begin(&claim, HOLD).await.unwrap();
            store.done(&claim, KEEP).await.unwrap();
        }
        let error = store.begin(&claim("3"), HOLD).await.unwrap_err();
        assert!(matches!(error, ReplayStoreError::Full { capacity: 2 }), "{error}");
        for id in ["1", "2"] {
            assert_eq!(store.begin(&claim(id), HOLD).await.unwrap(), Begun::Done);
        }
        tokio::time::advance(KEEP).await;
        assert_eq!(store.begin(&claim("3"), HOLD).await.unwrap(), Begun::First);
        let ids = store.ids();
        assert_eq!((ids.by_id.len(), ids.ends.len()), (1, 1));
    }

    #[tokio::test]
    async fn many_at_once_take_an_id_once() {
        let store = MemoryReplayStore::new();
        let mut takers = tokio::task::JoinSet::new();
        for _ in 0..256 {
            let store = store.clone();
            takers.spawn(async move { store.begin(&claim("1"), HOLD).await.unwrap() });
        }
        let begun = takers.join_all().await;
        assert_eq!(begun.iter().filter(|begun| **begun == Begun::First).count(), 1);
        assert_eq!(begun.iter().filter(|begun| **begun == Begun::InProgress).count(), 255);
        assert_eq!(store.check().await.unwrap(), [StoreFinding::InMemory]);
    }
}
