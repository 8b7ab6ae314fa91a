//! Runs the measurements, part by part.

use std::time::Duration;

use serde::Serialize;
use wxpay_benchmarks::Result;
use wxpay_benchmarks::contender::Variant;
use wxpay_benchmarks::figures::{Figures, Pair, Turns};
use wxpay_benchmarks::percentile::Spread;
use wxpay_benchmarks::signing::Signing;

use crate::options::Options;
use crate::program::Program;
use crate::server::{Load, Server};

/// Longer than any of our programs takes.
const LIMIT: Duration = Duration::from_secs(900);
const BOTH: [Variant; 2] = [Variant::Floor, Variant::Sdk];

/// Peak memory of each process.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) over: &'static str,
    pub(crate) signing: Signing,
    pub(crate) callers: usize,
    pub(crate) peak_kib: Pair<Spread>,
    pub(crate) failed: usize,
}

/// From the start of the process to the first verified response.
#[derive(Debug, Serialize)]
pub(crate) struct ColdStart {
    pub(crate) over: &'static str,
    pub(crate) signing: Signing,
    pub(crate) starts: usize,
    pub(crate) ms: Pair<Spread>,
}

/// The output lines of `growth`.
#[derive(Debug, Serialize)]
pub(crate) struct Growth {
    pub(crate) what: &'static str,
    pub(crate) signing: Signing,
    pub(crate) steps: Vec<serde_json::Value>,
}

/// Runs the floor and the SDK by turns, in one process per scenario.
pub(crate) fn turns(options: &Options, server: &Server) -> Result<Vec<Turns>> {
    let (rounds, calls) = if options.quick { ("3", 800) } else { ("7", 6000) };
    let mut all = Vec::new();
    for over in &options.over {
        for &signing in options.signing.iter().filter(|signing| signing.is_here().is_ok()) {
            for &callers in &options.callers {
                let calls = calls.max(4 * callers);
                let load = Load { calls, callers, warmup: (calls / 10).max(4 * callers) };
                let name = signing.to_string();
                let program = Program::ours("client", &[&name, rounds])?
                    .with(server.environment(over, false, load)?);
                let turns: Turns = program.run(LIMIT)?.json()?;
                let ratio = Spread::of(turns.rounds.iter().map(|round| {
                    round.figures.sdk.cpu_per_1000() / round.figures.floor.cpu_per_1000()
                }));
                eprintln!(
                    "turns: {over}, {signing}, {callers} callers: processor time {:.3} of the floor's \
                     ({:.3} to {:.3})",
                    ratio.median, ratio.min, ratio.max
                );
                all.push(turns);
            }
        }
    }
    Ok(all)
}

/// Runs separate processes, by turns.
pub(crate) fn memory(options: &Options, server: &Server) -> Result<Vec<Memory>> {
    let (rounds, calls) = if options.quick { (3, 300) } else { (7, 3000) };
    let mut all = Vec::new();
    for over in ["plain", "tls", "tls+roots"] {
        for signing in [Signing::Ring, Signing::AwsLcRs] {
            for callers in [1, 32] {
                let load = Load { calls, callers, warmup: 100 };
                let (mut peaks, mut failed) = (Pair::<Vec<f64>>::default(), 0);
                for variant in (0..rounds).flat_map(|_| BOTH) {
                    let figures: Figures =
                        contender(server, variant, signing, over, load)?.run(LIMIT)?.json()?;
                    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
                    peaks.of_mut(variant).push(figures.peak_rss_kib as f64);
                    failed += figures.failed;
                }
                eprintln!("memory: {over}, {signing}, {callers} callers");
                let peak_kib = Pair { floor: Spread::of(peaks.floor), sdk: Spread::of(peaks.sdk) };
                all.push(Memory { over, signing, callers, peak_kib, failed });
            }
        }
    }
    Ok(all)
}

/// Runs processes that make one call and end, by turns.
pub(crate) fn cold_start(options: &Options, server: &Server) -> Result<Vec<ColdStart>> {
    let starts = if options.quick { 5 } else { 40 };
    let load = Load { calls: 0, callers: 1, warmup: 0 };
    let mut all = Vec::new();
    for over in ["plain", "tls", "tls+roots"] {
        for signing in [Signing::Ring, Signing::AwsLcRs] {
            let mut ms = Pair::<Vec<f64>>::default();
            // The first start of each reads its program from disk, and is not counted.
            for start in 0..=starts {
                for variant in BOTH {
                    let ended = contender(server, variant, signing, over, load)?.run(LIMIT)?;
                    let first_ms = ended.first_ms.ok_or("there was no first response")?;
                    if start > 0 {
                        ms.of_mut(variant).push(first_ms);
                    }
                }
            }
            eprintln!("cold start: {over}, {signing}");
            let ms = Pair { floor: Spread::of(ms.floor), sdk: Spread::of(ms.sdk) };
            all.push(ColdStart { over, signing, starts, ms });
        }
    }
    Ok(all)
}

/// Measures what grows with calls, merchants and keys.
pub(crate) fn growth(options: &Options, server: &Server) -> Result<Vec<Growth>> {
    let (calls, merchants) = if options.quick { ("1000", "100") } else { ("100000", "1000") };
    let load = Load { calls: 0, callers: 8, warmup: 0 };
    let mut all = Vec::new();
    for (what, signing, up_to) in [
        ("calls", Signing::AwsLcRs, calls),
        ("merchants", Signing::Ring, merchants),
        ("merchants", Signing::AwsLcRs, merchants),
        ("merchants-with-default-roots", Signing::Ring, if options.quick { "10" } else { "100" }),
        ("keys", Signing::Ring, "64"),
        ("keys", Signing::AwsLcRs, "64"),
    ] {
        let name = signing.to_string();
        let program = Program::ours("growth", &[what, &name, up_to])?;
        let ended = program.with(server.environment("tls", false, load)?).run(LIMIT)?;
        let steps = ended.lines.iter().map(|line| serde_json::from_str(line));
        eprintln!("growth: {what}, {signing}");
        all.push(Growth { what, signing, steps: steps.collect::<std::result::Result<_, _>>()? });
    }
    Ok(all)
}

/// Returns the program of one contender.
pub(crate) fn contender(
    server: &Server,
    variant: Variant,
    signing: Signing,
    over: &str,
    load: Load,
) -> Result<Program> {
    let program = Program::ours("contender", &[&variant.to_string(), &signing.to_string()])?;
    Ok(program.with(server.environment(over, false, load)?))
}
