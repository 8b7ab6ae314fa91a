//! What a store of reservations is asked, and what it replies.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;

use crate::rate_limit::LimitKey;
use crate::rate_limit::redis::lost::Lost;

/// The store in which the processes reserve their slots.
#[async_trait]
pub(crate) trait SharedStore: Send + Sync {
    /// One connection, open or being opened.
    type Line: Send + Sync;

    /// Returns the connection for queries.
    fn line(&self) -> Self::Line;

    /// Reserves the next slot, unless it is too far ahead.
    async fn reserve(&self, line: &Self::Line, wanted: Wanted<'_>) -> Result<StoreReply, Lost>;

    /// Closes a connection on which a query failed; the next query opens a new one.
    /// Returns `false` if it was already closed.
    fn hang_up(&self, line: &Self::Line) -> bool;
}

/// What a query asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) key: LimitKey<'a>,
    /// Number of requests that may be sent at once.
    pub(crate) burst: NonZeroU32,
    /// Interval between further requests.
    pub(crate) interval: Duration,
    /// The wait that would be too long.
    pub(crate) longest: Duration,
    /// How far ahead all processes together can reserve slots, with a margin.
    pub(crate) farthest: Duration,
    /// The state in the last response. No reservation begins before that, even if the store has lost it.
    pub(crate) known: Option<Reach>,
}

/// How far reservations reach, in microseconds of the clock of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Start of the slot after the last reserved one, if requests are evenly spread.
    pub(crate) next: u64,
    /// Time of the response.
    pub(crate) seen: u64,
}

/// The reply of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreReply {
    pub(crate) place: Slot,
    pub(crate) reach: Reach,
}

/// The reserved slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A slot is reserved; it begins after this time.
    After(Duration),
    /// The slot would begin only after this time. Nothing is reserved.
    TooFar(Duration),
}

impl Wanted<'_> {
    /// Returns the response, unless it is impossible: an absurdly long wait would block payments.
    pub(crate) fn believe(&self, response: StoreReply) -> Result<StoreReply, Lost> {
        let can_be = match response.place {
            Slot::After(wait) => wait <= self.longest,
            Slot::TooFar(wait) => (self.longest..=self.farthest).contains(&wait),
        };
        let ahead = Duration::from_micros(response.reach.next.saturating_sub(response.reach.seen));
        if can_be && ahead <= self.farthest + self.interval {
            Ok(response)
        } else {
            Err(Lost::Untrue)
        }
    }
}
