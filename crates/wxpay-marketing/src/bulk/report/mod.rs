//! What became of each plan, read from the journal.

mod csv;

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::journal::{
    FileAt, Items, JournalError, Lines, PlanStep, PlanSteps, Step, StepLine, load, parsed,
};
use super::outcome::PlanOutcome;
use super::plan::BulkPlan;
use super::run::BulkProgress;

/// The report of a job: a row for each plan of its list, in the order of the list.
///
/// It may be read while the job runs, also by another process. It holds nine bytes of memory for each plan.
pub struct BulkReport {
    file: Arc<File>,
    items: Items,
    steps: PlanSteps,
    /// Where the last step of each plan is; 0 if there is none.
    last: Vec<u64>,
}

/// What became of one plan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BulkReportRow {
    /// Its number in the list, from 0.
    pub number: usize,
    /// The plan, and what was expected of it.
    pub plan: BulkPlan,
    /// What became of it; `None` if that is not known yet.
    pub outcome: Option<PlanOutcome>,
    /// Whether its call may have gone out, and what became of it is not known.
    pub is_in_doubt: bool,
}

impl BulkReport {
    /// Reads a journal, without locking it. A last line that is not complete is left out.
    ///
    /// # Errors
    /// [`JournalError`]: it cannot be read, has no complete list, or a line of it is malformed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        let file = Arc::new(File::open(path).map_err(JournalError::io("open"))?);
        let mut last = Vec::new();
        let loaded = load(FileAt::new(Arc::clone(&file), 0), |step, offset| {
            if last.len() <= step.n {
                last.resize(step.n + 1, 0);
            }
            if let Some(last) = last.get_mut(step.n) {
                *last = offset;
            }
        })?;
        let (items, steps) = loaded.into_list(&file)?;
        Ok(Self { file, items, steps, last })
    }

    /// Returns how many plans are in which state.
    pub fn progress(&self) -> BulkProgress {
        BulkProgress::of(&self.steps)
    }

    /// Returns the next row; `None` after the last one.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn next_row(&mut self) -> Result<Option<BulkReportRow>, JournalError> {
        let Some(item) = self.items.next_if(|_| true)? else { return Ok(None) };
        let outcome = match self.last.get(item.n).copied().filter(|offset| *offset > 0) {
            Some(offset) => match self.step_at(offset)?.step {
                Step::Ended(outcome) => Some(outcome),
                Step::Calling | Step::NotCalled { .. } => None,
            },
            None => None,
        };
        let is_in_doubt = self.steps.step(item.n) == Some(PlanStep::Calling);
        Ok(Some(BulkReportRow { number: item.n, plan: item.plan, outcome, is_in_doubt }))
    }

    fn step_at(&self, offset: u64) -> Result<StepLine, JournalError> {
        let at = FileAt::new(Arc::clone(&self.file), offset);
        let mut lines = Lines::with_capacity(512, at, offset, 0);
        // It was read before.
        let number = 0;
        match lines.next()? {
            Some(line) => parsed(line, number),
            None => Err(JournalError::malformed(number, "the journal is shorter than it was")),
        }
    }

    /// Writes the remaining rows as JSON lines: `n`, `brand_id`, `plan_id`, `outcome` and what belongs to it. `outcome`
    /// is `open` if nothing has happened yet, and `in_doubt` if a call may have gone out.
    ///
    /// # Errors
    /// [`JournalError`], also if the writer fails.
    pub fn write_json_lines(mut self, mut writer: impl Write) -> Result<(), JournalError> {
        while let Some(row) = self.next_row()? {
            let mut line = serde_json::to_vec(&JsonRow::from(&row)).unwrap_or_default();
            line.push(b'\n');
            writer.write_all(&line).map_err(not_written)?;
        }
        writer.flush().map_err(not_written)
    }

    /// Writes a heading and the remaining rows as CSV (RFC 4180, UTF-8). A field that a spreadsheet would take for a
    /// formula gets an apostrophe in front.
    ///
    /// # Errors
    /// [`JournalError`], also if the writer fails.
    pub fn write_csv(mut self, mut writer: impl Write) -> Result<(), JournalError> {
        let heading =
            ["n", "brand_id", "plan_id", "outcome", "state", "code", "request_id", "detail"];
        csv::write_line(&mut writer, heading).map_err(not_written)?;
        while let Some(row) = self.next_row()? {
            let number = row.number.to_string();
            let Columns { state, code, request_id, detail } = Columns::of(row.outcome.as_ref());
            let (brand_id, plan_id) = (row.plan.brand_id().as_str(), row.plan.plan_id().as_str());
            let fields = [&number, brand_id, plan_id, row.name(), state, code, request_id, &detail];
            csv::write_line(&mut writer, fields).map_err(not_written)?;
        }
        writer.flush().map_err(not_written)
    }
}

fn not_written(error: io::Error) -> JournalError {
    JournalError::io("write the report of")(error)
}

impl BulkReportRow {
    /// Returns the name of the outcome, or `open` or `in_doubt`.
    pub fn name(&self) -> &'static str {
        match &self.outcome {
            Some(outcome) => outcome.name(),
            None if self.is_in_doubt => "in_doubt",
            None => "open",
        }
    }
}

#[derive(Serialize)]
struct JsonRow<'a> {
    n: usize,
    brand_id: &'a str,
    plan_id: &'a str,
    #[serde(flatten)]
    outcome: JsonOutcome<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum JsonOutcome<'a> {
    Known(&'a PlanOutcome),
    NotYet { outcome: &'static str },
}

impl<'a> From<&'a BulkReportRow> for JsonRow<'a> {
    fn from(row: &'a BulkReportRow) -> Self {
        Self {
            n: row.number,
            brand_id: row.plan.brand_id().as_str(),
            plan_id: row.plan.plan_id().as_str(),
            outcome: match &row.outcome {
                Some(outcome) => JsonOutcome::Known(outcome),
                None => JsonOutcome::NotYet { outcome: row.name() },
            },
        }
    }
}

/// The columns of an outcome; empty if it has no such thing.
#[derive(Default)]
struct Columns<'a> {
    state: &'a str,
    code: &'a str,
    request_id: &'a str,
    detail: String,
}

impl<'a> Columns<'a> {
    fn of(outcome: Option<&'a PlanOutcome>) -> Self {
        let text = |text: &'a Option<String>| text.as_deref().unwrap_or_default();
        let none = Self::default();
        let Some(outcome) = outcome else { return none };
        match outcome {
            PlanOutcome::Terminated { request_id, is_confirmed } => {
                let state = if *is_confirmed { "TERMINATED" } else { "" };
                Self { state, request_id: text(request_id), ..none }
            }
            PlanOutcome::AlreadyEnded { state } | PlanOutcome::WouldTerminate { state } => {
                Self { state: state.as_str(), ..none }
            }
            PlanOutcome::Mismatch { differences } => {
                Self { detail: differences.join("; "), ..none }
            }
            PlanOutcome::Refused { error, code, request_id } => Self {
                code: text(code),
                request_id: text(request_id),
                detail: error.clone(),
                ..none
            },
            PlanOutcome::Unconfirmed { error, state, request_id, .. } => Self {
                state: state.as_ref().map_or("", |state| state.as_str()),
                request_id: text(request_id),
                detail: error.clone(),
                ..none
            },
            PlanOutcome::Elsewhere { said } => Self { detail: said.clone(), ..none },
        }
    }
}

impl fmt::Debug for BulkReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkReport").field("progress", &self.progress()).finish_non_exhaustive()
    }
}
