//! The report: JSON with everything, tables for people, charts.

use std::path::Path;

use serde::Serialize;
use wxpay_benchmarks::Result;
use wxpay_benchmarks::figures::Turns;

use crate::against::Comparison;
use crate::growth_against::GrowthAgainst;
use crate::machine::Machine;
use crate::measure::{ColdStart, Growth, Memory};
use crate::peers::Standing;
use crate::server::Counts;
use crate::{comparison_chart, ratio_chart, tables};

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// Whether it was a quick run, whose figures have little significance.
    pub(crate) quick: bool,
    pub(crate) seconds: f64,
    /// What was left out, and why.
    pub(crate) notes: Vec<String>,
    pub(crate) turns: Vec<Turns>,
    pub(crate) memory: Vec<Memory>,
    pub(crate) cold_start: Vec<ColdStart>,
    pub(crate) growth: Vec<Growth>,
    pub(crate) peers: Vec<Standing>,
    pub(crate) against: Vec<Comparison>,
    pub(crate) growth_against: Vec<GrowthAgainst>,
    /// The server's counts, part by part.
    pub(crate) server: Vec<Counts>,
}

impl Report {
    pub(crate) fn new(machine: Machine, quick: bool) -> Self {
        Self {
            machine,
            quick,
            seconds: 0.0,
            notes: Vec::new(),
            turns: Vec::new(),
            memory: Vec::new(),
            cold_start: Vec::new(),
            growth: Vec::new(),
            peers: Vec::new(),
            against: Vec::new(),
            growth_against: Vec::new(),
            server: Vec::new(),
        }
    }

    /// Writes all files, and prints the tables to standard output.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(self)?)?;
        let text = tables::write(self);
        print!("{text}");
        std::fs::write(folder.join("report.md"), text)?;
        if !self.turns.is_empty() {
            std::fs::write(folder.join("ratios.svg"), ratio_chart::draw(&self.turns))?;
        }
        if !self.peers.is_empty() {
            std::fs::write(folder.join("peers.svg"), comparison_chart::draw(&self.peers))?;
        }
        Ok(())
    }

    /// Returns which figures of the floor and the SDK are invalid, because calls failed.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for turns in &self.turns {
            let failed: usize = turns.rounds.iter().map(tables::failed).sum();
            if failed > 0 {
                let what = &turns.scenario;
                let (over, signing, callers) = (&what.over, what.signing, what.callers);
                let errors = turns.rounds.iter().flat_map(|round| {
                    [&round.figures.floor.first_error, &round.figures.sdk.first_error]
                });
                let error = errors.flatten().next().cloned().unwrap_or_default();
                wrong.push(format!(
                    "{over}, {signing}, {callers} callers: {failed} failed: {error}"
                ));
            }
        }
        let failed: usize = self.memory.iter().map(|memory| memory.failed).sum();
        if failed > 0 {
            wrong.push(format!("memory: {failed} calls failed"));
        }
        let failed: usize = self.against.iter().map(Comparison::failed).sum();
        if failed > 0 {
            let rounds = self.against.iter().flat_map(|comparison| &comparison.rounds);
            let error =
                rounds.flat_map(|round| [&round.other.first_error, &round.this.first_error]);
            let error = error.flatten().next().cloned().unwrap_or_default();
            wrong.push(format!("against another commit: {failed} calls failed: {error}"));
        }
        let calls = self.growth.iter().flat_map(|growth| &growth.steps);
        let failed: u64 = calls.filter_map(|step| step["failed"].as_u64()).sum();
        if failed > 0 {
            wrong.push(format!("growth: {failed} calls failed"));
        }
        let failed: u64 = self.growth_against.iter().map(|growth| growth.failed).sum();
        if failed > 0 {
            wrong.push(format!("growth against another commit: {failed} calls failed"));
        }
        for standing in self.peers.iter().filter(|standing| standing.is_ours()) {
            let failed: usize = standing.rounds.iter().map(|round| round.figures.failed).sum();
            if failed > 0 {
                wrong.push(format!("{}: {failed} calls failed", standing.peer.name));
            }
        }
        for counts in self.server.iter().filter(|counts| counts.refused > 0) {
            let why = counts.first_refusal.clone().unwrap_or_default();
            wrong.push(format!("the server refused {} requests: {why}", counts.refused));
        }
        wrong
    }
}
