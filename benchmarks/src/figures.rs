//! The figures of a turn, as exchanged between programs.

use serde::{Deserialize, Serialize};

use crate::contender::Variant;
use crate::load::Pass;
use crate::percentile::{percentile, sorted};
use crate::signing::Signing;

/// The final output of the programs described in `peers/README.md`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// The measured calls.
    pub calls: usize,
    /// How many of them failed.
    pub failed: usize,
    /// Duration of all calls.
    pub seconds: f64,
    /// The processor time of the client.
    pub cpu_seconds: f64,
    /// Latencies in microseconds.
    pub p50_us: f64,
    /// 99 % of the calls were faster.
    pub p99_us: f64,
    /// 99.9 % of the calls were faster.
    pub p999_us: f64,
    /// Peak resident memory.
    pub peak_rss_kib: u64,
    /// The first failure.
    pub first_error: Option<String>,
}

impl Figures {
    /// Summarizes a pass.
    pub fn of(pass: Pass) -> Self {
        let latencies = sorted(pass.latencies_ns.iter().map(|ns| f64::from(*ns) / 1e3));
        Self {
            calls: pass.calls,
            failed: pass.failed,
            seconds: pass.seconds,
            cpu_seconds: pass.cpu_seconds,
            p50_us: percentile(&latencies, 0.5),
            p99_us: percentile(&latencies, 0.99),
            p999_us: percentile(&latencies, 0.999),
            peak_rss_kib: crate::usage::peak_rss_kib(),
            first_error: pass.first_error,
        }
    }

    /// Returns the number of calls per second.
    pub fn calls_per_second(&self) -> f64 {
        self.calls as f64 / self.seconds
    }

    /// Returns the client's processor seconds per 1,000 calls.
    pub fn cpu_per_1000(&self) -> f64 {
        self.cpu_seconds / self.calls as f64 * 1e3
    }
}

/// What both did by turns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scenario {
    /// `tls` or `plain`.
    pub over: String,
    /// What signs.
    pub signing: Signing,
    /// How many callers.
    pub callers: usize,
}

/// The result of one scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Turns {
    /// The scenario.
    pub scenario: Scenario,
    /// One entry per round.
    pub rounds: Vec<Round>,
    /// Allocations, counted in a separate pass.
    pub allocations: Pair<PerCall>,
}

/// One turn of each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Round {
    /// Which one went first.
    pub first: Variant,
    /// The measured calls.
    pub figures: Pair<Figures>,
    /// 99th percentile of the lateness of a 1 ms timer, in microseconds, in a separate pass.
    pub timer_p99_us: Pair<f64>,
    /// Failures while the timer ran.
    pub timer_failed: Pair<usize>,
}

/// One value for each of the two.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Pair<T> {
    /// The floor's.
    pub floor: T,
    /// The SDK's.
    pub sdk: T,
}

impl<T> Pair<T> {
    /// Returns the value of one of the two.
    pub fn of_mut(&mut self, variant: Variant) -> &mut T {
        match variant {
            Variant::Floor => &mut self.floor,
            Variant::Sdk => &mut self.sdk,
        }
    }
}

impl<T: Copy + Into<f64>> Pair<T> {
    /// Divides the SDK's by the floor's.
    pub fn ratio(&self) -> f64 {
        self.sdk.into() / self.floor.into()
    }
}

/// Allocations per call.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct PerCall {
    /// Allocations, including reallocations.
    pub allocations: f64,
    /// Their bytes.
    pub bytes: f64,
}
