//! Which notifications were handed over already.

mod claim;
mod error;
mod finding;
mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::claim::Claim;
pub use self::error::ReplayStoreError;
pub use self::finding::StoreFinding;
pub use self::memory::MemoryReplayStore;

/// What a store says of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Begun {
    /// It was not there; the claim holds it now. Hand the notification over.
    First,
    /// Another claim holds it: it is being handed over elsewhere.
    InProgress,
    /// It was handed over already.
    Done,
}

/// Keeps the ids of notifications, so that each is handed over once: in memory ([`MemoryReplayStore`]), in Redis or
/// Valkey (`RedisReplayStore`, feature `redis`), or in a database of yours.
///
/// In two steps: [`begin`](Self::begin) takes an id for a short time, so that the notification of a process that dies is
/// handed over to another one; then [`done`](Self::done) keeps it for a long time, or [`release`](Self::release) gives
/// it back. Each may be repeated with the same claim, because the response to the first try may be lost. Implemented
/// for `&S`, `Arc<S>` and `Box<S>`.
///
/// A store that is away returns an error. It never guesses: the notification is then not handed over, WeChat Pay is
/// told so, and sends it again.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `ReplayStore`",
    label = "expected a `MemoryReplayStore`, a `RedisReplayStore`, or a store of your own",
    note = "implementations begin with `#[async_trait]` (`wxpay_auth::async_trait`); the type is also `Debug + Send + Sync`"
)]
#[async_trait]
pub trait ReplayStore: fmt::Debug + Send + Sync {
    /// Takes the id of a claim for this long, atomically, unless another claim holds it or it is done. An id that this
    /// claim holds already is [`Begun::First`] again.
    ///
    /// # Errors
    /// [`ReplayStoreError`] if it is not known who holds the id.
    async fn begin(&self, claim: &Claim, hold: Duration) -> Result<Begun, ReplayStoreError>;

    /// Records for this long that the notification was handed over, whoever holds the id. Returns whether it was still
    /// held by this claim: if not, the claim had run out, and another process may have handed it over, too.
    ///
    /// # Errors
    /// [`ReplayStoreError`] if it is not known to be recorded.
    async fn done(&self, claim: &Claim, keep: Duration) -> Result<bool, ReplayStoreError>;

    /// Gives the id back, if this claim holds it. Nothing else is changed.
    ///
    /// # Errors
    /// [`ReplayStoreError`] if it is not known to be given back. It is when the claim runs out.
    async fn release(&self, claim: &Claim) -> Result<(), ReplayStoreError>;

    /// Looks for what makes the store forget: call it at the start, and tell people of what it finds.
    ///
    /// # Errors
    /// [`ReplayStoreError`] if the store cannot be used.
    async fn check(&self) -> Result<Vec<StoreFinding>, ReplayStoreError> {
        Ok(Vec::new())
    }
}

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        #[async_trait]
        impl<S: ReplayStore + ?Sized> ReplayStore for $pointer {
            async fn begin(&self, claim: &Claim, hold: Duration) -> Result<Begun, ReplayStoreError> {
                (**self).begin(claim, hold).await
            }

            async fn done(&self, claim: &Claim, keep: Duration) -> Result<bool, ReplayStoreError> {
                (**self).done(claim, keep).await
            }

            async fn release(&self, claim: &Claim) -> Result<(), ReplayStoreError> {
                (**self).release(claim).await
            }

            async fn check(&self) -> Result<Vec<StoreFinding>, ReplayStoreError> {
                (**self).check().await
            }
        }
    )+};
}

forward!(&S, Arc<S>, Box<S>);
