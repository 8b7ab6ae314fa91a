//! Reads the list again, one plan at a time.

use super::error::JournalError;
use super::file::FileAt;
use super::line::Item;
use super::lines::Lines;
use super::load::{Place, parsed};

/// The plans of a list, read from the journal: none is kept in memory.
#[derive(Debug)]
pub(crate) struct Items {
    lines: Lines<FileAt>,
    left: usize,
    /// The number of the next plan.
    next: usize,
}

impl Items {
    pub(super) fn new(file: FileAt, list: Place, plans: usize) -> Self {
        Self { lines: Lines::new(file, list.offset, list.lines), left: plans, next: 0 }
    }

    /// Returns the next plan for which this is true of its number.
    pub(crate) fn next_if(
        &mut self,
        is_wanted: impl Fn(usize) -> bool,
    ) -> Result<Option<Item>, JournalError> {
        while self.left > 0 {
            let number = self.lines.number() + 1;
            let Some(line) = self.lines.next()? else {
                return Err(JournalError::malformed(number, "the list is shorter than it was"));
            };
            let n = self.next;
            (self.left, self.next) = (self.left - 1, n + 1);
            if is_wanted(n) {
                return parsed(line, number).map(Some);
            }
        }
        Ok(None)
    }
}
