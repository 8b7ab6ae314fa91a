//! The tables of the report, in Markdown.

use std::fmt::Write;

use serde_json::Value;
use wxpay_benchmarks::figures::{Figures, Round, Turns};
use wxpay_benchmarks::percentile::Spread;

use crate::peers::Standing;
use crate::report::Report;
use crate::{against, growth_against};

/// Writes all tables.
pub(crate) fn write(report: &Report) -> String {
    let mut text = String::new();
    head(&mut text, report);
    turns(&mut text, &report.turns);
    memory_and_start(&mut text, report);
    growth(&mut text, report);
    peers(&mut text, &report.peers);
    against::table(&mut text, &report.against);
    growth_against::table(&mut text, &report.growth_against);
    text
}

/// Counts the failed calls of both in a round.
pub(crate) fn failed(round: &Round) -> usize {
    let timer = round.timer_failed;
    round.figures.floor.failed + round.figures.sdk.failed + timer.floor + timer.sdk
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{arguments}");
}

macro_rules! line {
    ($text:expr, $($what:tt)*) => { line($text, format_args!($($what)*)) };
}

fn head(text: &mut String, report: &Report) {
    let machine = &report.machine;
    line!(text, "# Report");
    if report.quick {
        line!(
            text,
            "**A quick run: it shows that everything works, and its figures say little.**\n"
        );
    }
    line!(text, "- {}, {} cores, Linux {}", machine.processor, machine.cores, machine.kernel);
    line!(text, "- {}; {}", machine.rustc, machine.crates.join(", "));
    line!(text, "- commit {}; {:.0} s", machine.commit, report.seconds);
    line!(text, "- load average before the start: {}", machine.load_average);
    for note in &report.notes {
        line!(text, "- {note}");
    }
}

fn turns(text: &mut String, all: &[Turns]) {
    if all.is_empty() {
        return;
    }
    let rounds = all.first().map_or(0, |turns| turns.rounds.len());
    line!(text, "\n## The SDK beside the floor");
    line!(
        text,
        "{rounds} rounds in turns; medians, and the ratio SDK / floor of each round as median (least to most).\n"
    );
    line!(
        text,
        "| over | signing | callers | calls/s, floor | SDK | ratio | CPU s / 1,000 calls, floor | SDK | ratio | failed |"
    );
    line!(text, "|---|---|---:|---:|---:|---|---:|---:|---|---:|");
    for turns in all {
        let [rate_floor, rate_sdk, rate] = medians(turns, Figures::calls_per_second);
        let [cpu_floor, cpu_sdk, cpu] = medians(turns, Figures::cpu_per_1000);
        line!(
            text,
            "{} {:.0} | {:.0} | {} | {:.4} | {:.4} | {} | {} |",
            scenario(turns),
            rate_floor.median,
            rate_sdk.median,
            spread(rate),
            cpu_floor.median,
            cpu_sdk.median,
            spread(cpu),
            turns.rounds.iter().map(failed).sum::<usize>()
        );
    }
    line!(
        text,
        "\nLatency in microseconds, and how late a timer of 1 ms is (99th percentile, ms):\n"
    );
    line!(
        text,
        "| over | signing | callers | p50, floor | SDK | p99, floor | SDK | ratio | p99.9, floor | SDK | timer, floor | SDK |"
    );
    line!(text, "|---|---|---:|---:|---:|---:|---:|---|---:|---:|---:|---:|");
    for turns in all {
        let [p50_floor, p50_sdk, _] = medians(turns, |figures| figures.p50_us);
        let [p99_floor, p99_sdk, p99] = medians(turns, |figures| figures.p99_us);
        let [worst_floor, worst_sdk, _] = medians(turns, |figures| figures.p999_us);
        let timer = |of: fn(&Round) -> f64| Spread::of(turns.rounds.iter().map(of)).median / 1e3;
        line!(
            text,
            "{} {:.0} | {:.0} | {:.0} | {:.0} | {} | {:.0} | {:.0} | {:.2} | {:.2} |",
            scenario(turns),
            p50_floor.median,
            p50_sdk.median,
            p99_floor.median,
            p99_sdk.median,
            spread(p99),
            worst_floor.median,
            worst_sdk.median,
            timer(|round| round.timer_p99_us.floor),
            timer(|round| round.timer_p99_us.sdk)
        );
    }
    line!(text, "\nAllocations for one call:\n");
    line!(text, "| over | signing | callers | floor | SDK | more | bytes, floor | SDK |");
    line!(text, "|---|---|---:|---:|---:|---:|---:|---:|");
    for turns in all {
        let (floor, sdk) = (turns.allocations.floor, turns.allocations.sdk);
        line!(
            text,
            "{} {:.1} | {:.1} | {:+.1} | {:.0} | {:.0} |",
            scenario(turns),
            floor.allocations,
            sdk.allocations,
            sdk.allocations - floor.allocations,
            floor.bytes,
            sdk.bytes
        );
    }
}

/// Returns the spreads of the floor, the SDK, and their ratio per round.
pub(crate) fn medians(turns: &Turns, value: impl Fn(&Figures) -> f64) -> [Spread; 3] {
    let rounds = || turns.rounds.iter().map(|round| &round.figures);
    [
        Spread::of(rounds().map(|both| value(&both.floor))),
        Spread::of(rounds().map(|both| value(&both.sdk))),
        Spread::of(rounds().map(|both| value(&both.sdk) / value(&both.floor))),
    ]
}

fn scenario(turns: &Turns) -> String {
    let what = &turns.scenario;
    format!("| {} | {} | {} |", what.over, what.signing, what.callers)
}

pub(crate) fn spread(spread: Spread) -> String {
    format!("**{:.3}** ({:.3} to {:.3})", spread.median, spread.min, spread.max)
}

fn memory_and_start(text: &mut String, report: &Report) {
    if !report.memory.is_empty() {
        line!(text, "\n## Peak memory");
        line!(text, "| over | signing | callers | MiB, floor | SDK | ratio | more, MiB |");
        line!(text, "|---|---|---:|---:|---:|---:|---:|");
    }
    for memory in &report.memory {
        let (floor, sdk) =
            (memory.peak_kib.floor.median / 1024.0, memory.peak_kib.sdk.median / 1024.0);
        line!(
            text,
            "| {} | {} | {} | {floor:.2} | {sdk:.2} | {:.3} | {:+.2} |",
            memory.over,
            memory.signing,
            memory.callers,
            sdk / floor,
            sdk - floor
        );
    }
    if !report.cold_start.is_empty() {
        line!(text, "\n## Cold start");
        line!(
            text,
            "From the start of the process to the first verified response, in ms: median (least to most).\n"
        );
        line!(text, "| over | signing | starts | floor | SDK | difference of the medians |");
        line!(text, "|---|---|---:|---|---|---:|");
    }
    for start in &report.cold_start {
        let (floor, sdk) = (start.ms.floor, start.ms.sdk);
        line!(
            text,
            "| {} | {} | {} | {} | {} | {:+.2} |",
            start.over,
            start.signing,
            start.starts,
            spread(floor),
            spread(sdk),
            sdk.median - floor.median
        );
    }
}

fn growth(text: &mut String, report: &Report) {
    if report.growth.is_empty() {
        return;
    }
    line!(text, "\n## What grows");
    for growth in &report.growth {
        let number = |step: &Value, name: &str| step[name].as_f64().unwrap_or_default();
        let head = match growth.what {
            "calls" => "| calls | CPU µs / call | resident KiB after | failed |",
            "keys" => "| keys in the ring | µs to verify |",
            _ => {
                "| merchants | calls each | ms to make one | resident KiB | KiB for each but the first |"
            }
        };
        line!(text, "\n{}, {}:\n\n{head}", growth.what, growth.signing);
        line!(text, "{}|", "|---:".repeat(head.matches('|').count() - 1));
        for step in &growth.steps {
            let of = |name: &str| number(step, name);
            match growth.what {
                "calls" => line!(
                    text,
                    "| {} | {:.0} | {} | {} |",
                    of("calls"),
                    of("cpu_us_per_call"),
                    of("rss_kib"),
                    of("failed")
                ),
                "keys" => {
                    line!(text, "| {} | {:.2} |", of("keys"), number(&step["verify_us"], "median"));
                }
                _ => merchants(text, step, growth.steps.first()),
            }
        }
    }
}

/// The first merchant includes what all of them share.
fn merchants(text: &mut String, step: &Value, first: Option<&Value>) {
    let of = |name: &str| step[name].as_f64().unwrap_or_default();
    let first = first.and_then(|first| first["rss_kib"].as_f64()).unwrap_or_default();
    let others = of("merchants") - 1.0;
    let each = if others > 0.0 {
        format!("{:.1}", (of("rss_kib") - first) / others)
    } else {
        String::new()
    };
    let ms = step["ms_each"].as_f64().map_or_else(String::new, |ms| format!("{ms:.2}"));
    line!(
        text,
        "| {} | {} | {ms} | {} | {each} |",
        of("merchants"),
        of("calls_each"),
        of("rss_kib")
    );
}

fn peers(text: &mut String, all: &[Standing]) {
    for callers in [1, 32] {
        let mut some: Vec<_> = all.iter().filter(|s| s.callers == callers).collect();
        if some.is_empty() {
            continue;
        }
        let rate = |s: &Standing| s.spread(|round| round.figures.calls_per_second()).median;
        some.sort_by(|a, b| rate(b).total_cmp(&rate(a)));
        line!(text, "\n## Other people's clients, {callers} callers\n");
        line!(
            text,
            "| client | language | calls/s | CPU s / 1,000 calls | p50 ms | p99 ms | p99.9 ms | peak MiB | first response ms | failed | connections / 1,000 calls | leaves out |"
        );
        line!(text, "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|");
        for standing in some {
            peer(text, standing);
        }
    }
}

fn peer(text: &mut String, standing: &Standing) {
    let median = |of: fn(&Figures) -> f64| standing.spread(|round| of(&round.figures)).median;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let connections = standing.spread(|round| {
        round.server.connections as f64 / round.server.requests.max(1) as f64 * 1e3
    });
    let failed: usize = standing.rounds.iter().map(|round| round.figures.failed).sum();
    let calls: usize = standing.rounds.iter().map(|round| round.figures.calls).sum();
    let mut leaves_out = standing.peer.leaves_out.clone();
    if !standing.peer.verifies {
        leaves_out.insert(0, "verifying responses".to_owned());
    }
    if !standing.peer.tls {
        leaves_out.insert(0, "TLS".to_owned());
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let peak = median(|figures| figures.peak_rss_kib as f64) / 1024.0;
    line!(
        text,
        "| {} {} | {} | {:.0} | {:.3} | {:.2} | {:.2} | {:.2} | {peak:.1} | {:.1} | {failed} of {calls} | {:.1} | {} |",
        standing.peer.name,
        standing.peer.version,
        standing.peer.language,
        median(Figures::calls_per_second),
        median(Figures::cpu_per_1000),
        median(|figures| figures.p50_us / 1e3),
        median(|figures| figures.p99_us / 1e3),
        median(|figures| figures.p999_us / 1e3),
        standing.spread(|round| round.first_ms.unwrap_or(f64::NAN)).median,
        connections.median,
        leaves_out.join(", ")
    );
}
