//! Writes the list of a job, each plan once.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use super::error::JournalError;
use super::line::{Item, Listed, line};
use super::step::PlanSteps;
use super::writer::Writer;
use crate::bulk::plan::BulkPlan;

/// A list that is being written. It is complete only when it is closed.
pub(crate) struct Listing<'j> {
    writer: &'j Writer,
    steps: &'j mut PlanSteps,
    seen: Seen,
    lines: Vec<u8>,
}

/// So much is handed to the writer at once.
const CHUNK: usize = 16 << 10;

impl<'j> Listing<'j> {
    pub(super) fn new(writer: &'j Writer, steps: &'j mut PlanSteps) -> Self {
        Self { writer, steps, seen: Seen::default(), lines: Vec::new() }
    }

    /// Adds a plan, unless the list has it.
    pub(crate) async fn add(&mut self, plan: BulkPlan) -> Result<(), JournalError> {
        if !self.seen.insert(&plan) {
            return Ok(());
        }
        self.lines.extend(line(&Item { n: self.steps.len(), plan }));
        self.steps.add();
        if self.lines.len() >= CHUNK {
            // Waits, so that no more than this gathers before the disk.
            self.writer.write_synced(&self.lines).await?;
            self.lines.clear();
        }
        Ok(())
    }

    /// Closes the list, and returns how many plans it has.
    pub(crate) async fn close(mut self) -> Result<usize, JournalError> {
        let listed = self.steps.len();
        // What it closes is on the disk before it: a disk may write the end of a group first.
        self.writer.write_synced(&self.lines).await?;
        self.lines.clear();
        self.writer.write_synced(&line(&Listed { listed })).await?;
        Ok(listed)
    }
}

/// Recognises plans of the list, by 128 bits of each while it is written.
#[derive(Default)]
struct Seen {
    fingerprints: HashSet<u128>,
    keys: [RandomState; 2],
}

impl Seen {
    fn insert(&mut self, plan: &BulkPlan) -> bool {
        let [high, low] = &self.keys;
        let id = (plan.brand_id(), plan.plan_id());
        let fingerprint = (u128::from(high.hash_one(id)) << 64) | u128::from(low.hash_one(id));
        self.fingerprints.insert(fingerprint)
    }
}
