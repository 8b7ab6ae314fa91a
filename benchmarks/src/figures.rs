//! What a turn yields, as it goes from program to program.

use serde::{Deserialize, Serialize};

use crate::contender::Variant;
use crate::load::Pass;
use crate::percentile::{percentile, sorted};
use crate::signing::Signing;

/// What the program at the other end of `peers/README.md` prints at its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// The measured calls.
    pub calls: usize,
    /// How many of them failed.
    pub failed: usize,
    /// How long all of them took.
    pub seconds: f64,
    /// The processor time of the client.
    pub cpu_seconds: f64,
    /// Latencies in microseconds.
    pub p50_us: f64,
    /// 99 % of the calls were faster.
    pub p99_us: f64,
    /// 99.9 % of the calls were faster.
    pub p999_us: f64,
    /// The most memory that was ever resident.
    pub peak_rss_kib: u64,
    /// The first failure.
    pub first_error: Option<String>,
}

impl Figures {
    /// Sums a pass up.
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

    /// Returns how many calls ended in a second.
    pub fn calls_per_second(&self) -> f64 {
        self.calls as f64 / self.seconds
    }

    /// Returns the client's processor seconds for 1,000 calls.
    pub fn cpu_per_1000(&self) -> f64 {
        self.cpu_seconds / self.calls as f64 * 1e3
    }
}

/// Says what the two did in turns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scenario {
    /// `tls` or `plain`.
    pub over: String,
    /// What signs.
    pub signing: Signing,
    /// How many callers.
    pub callers: usize,
}

/// What came of one scenario.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Turns {
    /// What was done.
    pub scenario: Scenario,
    /// One entry a round.
    pub rounds: Vec<Round>,
    /// Allocations, counted in a pass of their own.
    pub allocations: Pair<PerCall>,
}

/// One turn of each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Round {
    /// Who began.
    pub first: Variant,
    /// The measured calls.
    pub figures: Pair<Figures>,
    /// 99th percentile of the lateness of a timer of 1 ms, in microseconds, in a pass of its own.
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
    /// Returns the place for one of the two.
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

/// Allocations for one call.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct PerCall {
    /// Allocations, reallocations included.
    pub allocations: f64,
    /// Their bytes.
    pub bytes: f64,
}
