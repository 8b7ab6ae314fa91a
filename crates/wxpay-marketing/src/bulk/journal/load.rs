//! Reads a journal, from its first line to its last.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::error::JournalError;
use super::file::FileAt;
use super::items::Items;
use super::line::{Header, Item, Listed, StepLine};
use super::lines::Lines;
use super::step::PlanSteps;

/// What a journal says.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Missing if the first line has no end.
    pub(super) header: Option<Header>,
    /// Where the list begins.
    pub(super) list: Place,
    /// Whether the list is complete. If it is not, nothing was called.
    pub(super) is_listed: bool,
    pub(super) steps: PlanSteps,
    /// Where the last whole line ends.
    pub(super) end: u64,
}

impl Loaded {
    /// Returns the plans of the list, and how far they are.
    pub(crate) fn into_list(self, file: &Arc<File>) -> Result<(Items, PlanSteps), JournalError> {
        if !self.is_listed {
            return Err(JournalError::NotListed);
        }
        let at = FileAt::new(Arc::clone(file), self.list.offset);
        Ok((Items::new(at, self.list, self.steps.len()), self.steps))
    }
}

/// A place in a journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    /// How many lines are before it.
    pub(crate) lines: u64,
}

/// Reads a journal. `on_step` is called with each step, and the offset of its line.
pub(crate) fn load(
    reader: impl Read,
    mut on_step: impl FnMut(&StepLine, u64),
) -> Result<Loaded, JournalError> {
    let mut lines = Lines::new(reader, 0, 0);
    let mut loaded = Loaded::default();
    let Some(first) = lines.next()? else { return Ok(loaded) };
    loaded.header = Some(Header::read(first)?);
    loaded.list = Place { offset: lines.offset(), lines: lines.number() };
    loaded.end = lines.offset();
    loop {
        let (offset, number) = (lines.offset(), lines.number() + 1);
        let Some(line) = lines.next()? else { return Ok(loaded) };
        if loaded.is_listed {
            let step: StepLine = parsed(line, number)?;
            note(&loaded.steps, &step, number)?;
            on_step(&step, offset);
        } else if Listed::is_on(line) {
            let Listed { listed } = parsed(line, number)?;
            if listed != loaded.steps.len() {
                let why = format!("{} plans are listed, not {listed}", loaded.steps.len());
                return Err(JournalError::malformed(number, why));
            }
            loaded.is_listed = true;
        } else {
            let item: Item = parsed(line, number)?;
            if item.n != loaded.steps.len() {
                let why = format!("plan {} follows where {} does", item.n, loaded.steps.len());
                return Err(JournalError::malformed(number, why));
            }
            loaded.steps.add();
        }
        loaded.end = lines.offset();
    }
}

pub(crate) fn parsed<T: DeserializeOwned>(line: &[u8], number: u64) -> Result<T, JournalError> {
    serde_json::from_slice(line).map_err(|error| JournalError::malformed(number, error))
}

fn note(steps: &PlanSteps, step: &StepLine, number: u64) -> Result<(), JournalError> {
    let why = match steps.step(step.n) {
        None => format!("the list has no plan {}", step.n),
        Some(before) if before.is_settled() => format!("plan {} was settled before", step.n),
        Some(_) => {
            steps.set(step.n, step.step.state());
            return Ok(());
        }
    };
    Err(JournalError::malformed(number, why))
}
