//! What grows, in this commit and in another one, in turns.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use wxpay_benchmarks::Result;
use wxpay_benchmarks::percentile::Spread;
use wxpay_benchmarks::signing::Signing;

use crate::against::LIMIT;
use crate::options::{Against, Options};
use crate::program::Program;
use crate::server::{Load, Server};
use crate::tables::spread;

/// A figure of both, once for each turn.
#[derive(Debug, Serialize)]
pub(crate) struct GrowthAgainst {
    pub(crate) other_commit: String,
    pub(crate) what: &'static str,
    pub(crate) signing: Signing,
    pub(crate) other: Vec<f64>,
    pub(crate) this: Vec<f64>,
    /// Calls that failed: the figures are then invalid.
    pub(crate) failed: u64,
}

/// What a program's lines say: the argument of `growth`, the names of its figures, and how to compute them.
type Figure = (&'static str, fn(&[Value]) -> Option<f64>);

const MERCHANTS: [Figure; 2] = [
    ("KiB of a merchant that has not called", |steps| each(steps, 0)),
    ("KiB of a merchant that keeps a connection", |steps| each(steps, 1)),
];
const CALLS: [Figure; 2] = [
    ("processor time of a call, the last / the first 1,000", |steps| {
        let cost = |calls| step(steps, "calls", calls)?["cpu_us_per_call"].as_f64();
        Some(cost(last(steps, "calls")?)? / cost(1000)?)
    }),
    ("KiB after them", |steps| steps.last()?["rss_kib"].as_f64()),
];

/// Runs a process for each turn. Which commit begins changes from round to round.
pub(crate) fn growth(
    options: &Options,
    server: &Server,
    other: &Against,
) -> Result<Vec<GrowthAgainst>> {
    let (rounds, calls, merchants) =
        if options.quick { (1, "10000", "100") } else { (5, "100000", "1000") };
    let mut all = Vec::new();
    for &signing in options.signing.iter().filter(|s| s.is_here().is_ok()) {
        for (argument, up_to, figures) in
            [("merchants", merchants, &MERCHANTS), ("calls", calls, &CALLS)]
        {
            let run = |command: String| -> Result<Vec<Value>> {
                let command =
                    vec![command, argument.to_owned(), signing.to_string(), up_to.to_owned()];
                let load = Load { calls: 0, callers: 8, warmup: 0 };
                let program = Program { command, ..Program::default() };
                let ended = program.with(server.environment("tls", false, load)?).run(LIMIT)?;
                let steps = ended.lines.iter().map(|line| serde_json::from_str(line));
                Ok(steps.collect::<std::result::Result<_, _>>()?)
            };
            let mut of_both = figures.map(|(what, _)| GrowthAgainst {
                other_commit: other.commit.clone(),
                what,
                signing,
                other: Vec::new(),
                this: Vec::new(),
                failed: 0,
            });
            let this = std::env::current_exe()?.with_file_name("growth");
            let other = other.program.with_file_name("growth");
            for round in 0..rounds {
                let mut order = [(&this, true), (&other, false)];
                order.rotate_left(round % 2);
                for (program, is_this) in order {
                    let steps = run(program.to_string_lossy().into_owned())?;
                    let failed: u64 = steps.iter().filter_map(|step| step["failed"].as_u64()).sum();
                    for (both, (what, figure)) in of_both.iter_mut().zip(figures) {
                        both.failed += failed;
                        let figure = figure(&steps).ok_or_else(|| format!("no {what}"))?;
                        if is_this { both.this.push(figure) } else { both.other.push(figure) }
                    }
                }
            }
            eprintln!("growth: {argument}, {signing}");
            all.extend(of_both);
        }
    }
    Ok(all)
}

/// Returns the memory of each merchant after the first, after so many calls of each.
fn each(steps: &[Value], calls: u64) -> Option<f64> {
    let first = steps.first()?["rss_kib"].as_f64()?;
    let merchants = last(steps, "merchants")?;
    let last = steps.iter().find(|step| {
        step["merchants"].as_u64() == Some(merchants) && step["calls_each"].as_u64() == Some(calls)
    })?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Some((last["rss_kib"].as_f64()? - first) / (merchants - 1) as f64)
}

fn last(steps: &[Value], name: &str) -> Option<u64> {
    steps.last()?[name].as_u64()
}

fn step<'a>(steps: &'a [Value], name: &str, value: u64) -> Option<&'a Value> {
    steps.iter().find(|step| step[name].as_u64() == Some(value))
}

/// Writes the table.
pub(crate) fn table(text: &mut String, all: &[GrowthAgainst]) {
    let Some(first) = all.first() else { return };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "\n## What grows, beside {}\n| | signing | {} | this | ratio |\n|---|---|--:|--:|---|",
        first.other_commit, first.other_commit
    );
    for growth in all {
        let median = |figures: &[f64]| Spread::of(figures.iter().copied()).median;
        let ratios = growth.this.iter().zip(&growth.other).map(|(this, other)| this / other);
        let _ = writeln!(
            text,
            "| {} | {} | {:.2} | {:.2} | {} |",
            growth.what,
            growth.signing,
            median(&growth.other),
            median(&growth.this),
            spread(Spread::of(ratios))
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_read_from_the_steps() {
        let merchants = [
            json!({ "merchants": 1, "calls_each": 0, "rss_kib": 1000 }),
            json!({ "merchants": 101, "calls_each": 0, "rss_kib": 2000 }),
            json!({ "merchants": 101, "calls_each": 1, "rss_kib": 4000 }),
        ];
        let figures = MERCHANTS.map(|(_, figure)| figure(&merchants));
        assert_eq!(figures, [Some(10.0), Some(30.0)]);
        let calls = [
            json!({ "calls": 1000, "cpu_us_per_call": 100.0, "rss_kib": 900 }),
            json!({ "calls": 10_000, "cpu_us_per_call": 103.0, "rss_kib": 910 }),
        ];
        let figures = CALLS.map(|(_, figure)| figure(&calls));
        assert_eq!(figures, [Some(1.03), Some(910.0)]);
    }
}
