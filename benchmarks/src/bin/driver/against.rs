//! The SDK of this commit beside the SDK of another one, in turns against the same server.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use wxpay_benchmarks::Result;
use wxpay_benchmarks::contender::Variant;
use wxpay_benchmarks::figures::Figures;
use wxpay_benchmarks::percentile::Spread;
use wxpay_benchmarks::signing::Signing;

use crate::measure::contender;
use crate::options::{Against, Options, Part};
use crate::program::Program;
use crate::server::{Load, Server};
use crate::tables::spread;

pub(crate) const LIMIT: Duration = Duration::from_secs(900);

/// What two commits did with the same load.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) other: String,
    pub(crate) over: String,
    pub(crate) signing: Signing,
    pub(crate) callers: usize,
    pub(crate) rounds: Vec<Round>,
    pub(crate) starts: Vec<Start>,
}

/// One turn of each.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) other: Figures,
    pub(crate) this: Figures,
}

/// Milliseconds from the start of a process to its first verified response.
#[derive(Debug, Serialize)]
pub(crate) struct Start {
    pub(crate) other: f64,
    pub(crate) this: f64,
}

impl Comparison {
    /// Returns the ratio this / other of each round.
    fn ratio(&self, value: impl Fn(&Figures) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(|round| value(&round.this) / value(&round.other)))
    }

    /// Counts the failed calls of both.
    pub(crate) fn failed(&self) -> usize {
        self.rounds.iter().map(|round| round.other.failed + round.this.failed).sum()
    }
}

/// Runs a process for each turn. Which commit begins changes from round to round.
pub(crate) fn against(
    options: &Options,
    server: &Server,
    other: &Against,
) -> Result<Vec<Comparison>> {
    let (rounds, calls) = if options.quick { (3, 300) } else { (9, 2000) };
    let has = |part| options.parts.contains(&part);
    let turns = if has(Part::Turns) || has(Part::Memory) { rounds } else { 0 };
    let starts = if has(Part::ColdStart) { 2 * rounds } else { 0 };
    let mut all = Vec::new();
    for over in &options.over {
        for &signing in options.signing.iter().filter(|signing| signing.is_here().is_ok()) {
            for &callers in &options.callers {
                let load = Load { calls, callers, warmup: (calls / 10).max(4 * callers) };
                let start = Load { calls: 0, callers: 1, warmup: 0 };
                let mut comparison = Comparison {
                    other: other.commit.clone(),
                    over: over.clone(),
                    signing,
                    callers,
                    rounds: Vec::new(),
                    starts: Vec::new(),
                };
                for round in 0..turns {
                    let (this, other) = in_turns(server, other, signing, over, load, round)?;
                    comparison.rounds.push(Round { other: other.json()?, this: this.json()? });
                }
                // One caller is enough: a start makes one call.
                for round in 0..if callers == 1 { starts } else { 0 } {
                    let (this, other) = in_turns(server, other, signing, over, start, round)?;
                    let none = "there was no first response";
                    comparison.starts.push(Start {
                        other: other.first_ms.ok_or(none)?,
                        this: this.first_ms.ok_or(none)?,
                    });
                }
                let cpu = comparison.ratio(Figures::cpu_per_1000);
                eprintln!(
                    "against {}: {over}, {signing}, {callers} callers: processor time {:.3} ({:.3} to {:.3})",
                    other.commit, cpu.median, cpu.min, cpu.max
                );
                all.push(comparison);
            }
        }
    }
    Ok(all)
}

/// Runs both once, and returns what this commit did, and the other one.
fn in_turns(
    server: &Server,
    other: &Against,
    signing: Signing,
    over: &str,
    load: Load,
    round: usize,
) -> Result<(crate::program::Ended, crate::program::Ended)> {
    let this = contender(server, Variant::Sdk, signing, over, load)?;
    let arguments = [Variant::Sdk.to_string(), signing.to_string()];
    let mut command = vec![other.program.to_string_lossy().into_owned()];
    command.extend(arguments);
    let other =
        Program { command, ..Program::default() }.with(server.environment(over, false, load)?);
    if round.is_multiple_of(2) {
        let other = other.run(LIMIT)?;
        Ok((this.run(LIMIT)?, other))
    } else {
        let this = this.run(LIMIT)?;
        Ok((this, other.run(LIMIT)?))
    }
}

/// Writes the table.
pub(crate) fn table(text: &mut String, all: &[Comparison]) {
    let Some(first) = all.first() else { return };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\n## This commit beside {}\n{} rounds in turns, a process each; the ratio this / {} of each round as median (least to most).\n\n\
         | over | signing | callers | p50, µs, {} | this | ratio | CPU s / 1,000 calls, ratio | calls/s, ratio | p99, ratio | peak memory, MiB more | cold start, ms, {} | this | ratio | failed |\n\
         |---|---|--:|--:|--:|---|---|---|---|--:|--:|--:|---|--:|",
        first.other,
        first.rounds.len(),
        first.other,
        first.other,
        first.other
    );
    for all in all {
        let start = |value: fn(&Start) -> f64| Spread::of(all.starts.iter().map(value));
        let starts = if all.starts.is_empty() {
            "| |".to_owned()
        } else {
            format!(
                "{:.1} | {:.1} | {}",
                start(|start| start.other).median,
                start(|start| start.this).median,
                spread(start(|start| start.this / start.other))
            )
        };
        if all.rounds.is_empty() {
            let _ = writeln!(
                text,
                "| {} | {} | {} | | | | | | | | {starts} | |",
                all.over, all.signing, all.callers
            );
            continue;
        }
        let median = |value: fn(&Round) -> f64| Spread::of(all.rounds.iter().map(value)).median;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let memory = |figures: &Figures| figures.peak_rss_kib as f64 / 1024.0;
        let more = Spread::of(all.rounds.iter().map(|r| memory(&r.this) - memory(&r.other)));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.0} | {:.0} | {} | {} | {} | {} | {:+.1} | {starts} | {} |",
            all.over,
            all.signing,
            all.callers,
            median(|round| round.other.p50_us),
            median(|round| round.this.p50_us),
            spread(all.ratio(|figures| figures.p50_us)),
            spread(all.ratio(Figures::cpu_per_1000)),
            spread(all.ratio(Figures::calls_per_second)),
            spread(all.ratio(|figures| figures.p99_us)),
            more.median,
            all.failed()
        );
    }
}
