//! Lists that end too early.

use std::fmt;

use thiserror::Error;
use wxpay_auth::write_report;

/// A list does not have as many plans as it says, repeats a page, or becomes shorter again and again. Plans may be missing.
#[derive(Clone, PartialEq, Eq, Error)]
#[error("the list has {total_count} plans, but nothing new followed after {offset} of them")]
pub struct IncompleteListError {
    pub(crate) total_count: i64,
    pub(crate) offset: u64,
}

impl IncompleteListError {
    /// Returns how many plans the list says it has.
    pub fn total_count(&self) -> i64 {
        self.total_count
    }

    /// Returns how many plans were returned before.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        "list them again: plans may have been created, or have left this state, meanwhile"
    }
}

/// Prints one line with the hint.
impl fmt::Debug for IncompleteListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, self.hint())
    }
}
