//! Why a job stops.

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;
use wxpay_auth::write_report;

use super::journal::JournalError;
use super::leases::LeaseError;
use crate::error::Error as CallError;

/// Why a job stopped before all its plans were dealt with. The journal can be resumed, unless it says otherwise.
///
/// What became of a single plan is in its [`PlanOutcome`](super::PlanOutcome), and stops nothing.
#[derive(Error)]
#[non_exhaustive]
pub enum BulkError {
    /// The journal cannot be used, or written. Nothing is called without it.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The plans of the brand could not be listed. Nothing was called.
    #[error("the plans cannot be listed")]
    List(#[source] CallError),
    /// The store of the leases was away for too long. Nothing is called without a lease.
    #[error(transparent)]
    Leases(#[from] LeaseError),
    /// Many plans in a row could be neither looked up nor called. Nothing became of them: they are still open.
    #[error("{plans} plans in a row could not be looked up or called")]
    #[non_exhaustive]
    Unreachable {
        /// How many.
        plans: u32,
        /// The last error.
        source: CallError,
    },
}

impl BulkError {
    /// Returns what to do.
    pub fn hint(&self) -> Cow<'static, str> {
        match self {
            Self::Journal(e) => e.hint().into(),
            Self::List(e) | Self::Unreachable { source: e, .. } => e.hint(),
            Self::Leases(e) => e.hint().into(),
        }
    }
}

/// Prints one line with the causes and the hint.
impl fmt::Debug for BulkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, &self.hint())
    }
}
