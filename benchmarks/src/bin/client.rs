//! The floor and the SDK by turns, in one process: `client RING|AWS-LC-RS|SOFTHSM ROUNDS`.
//!
//! All other settings are in the environment (`peers/README.md`); with `RUNTIME=current-thread` everything
//! runs on one thread. Prints one line of JSON at the end.

use std::sync::Arc;

use tokio::runtime::Builder;
use wxpay_benchmarks::contender::{Contender, Variant};
use wxpay_benchmarks::figures::{Figures, Pair, PerCall, Round, Scenario, Turns};
use wxpay_benchmarks::load::{self, Keep};
use wxpay_benchmarks::settings::Settings;
use wxpay_benchmarks::signing::Signing;
use wxpay_benchmarks::timer::Timer;
use wxpay_benchmarks::{Result, allocations};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// Number of turns into which the calls of a round are divided.
const SLICES: usize = 4;

fn main() -> Result<()> {
    let one_thread = match std::env::var("RUNTIME").as_deref() {
        Err(_) | Ok("multi-thread") => false,
        Ok("current-thread") => true,
        Ok(other) => return Err(format!("RUNTIME: there is no runtime {other}").into()),
    };
    let mut runtime =
        if one_thread { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    runtime.enable_all().build()?.block_on(measure())
}

async fn measure() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let signing: Signing = arguments.next().ok_or("what signs?")?.parse()?;
    let rounds: usize = arguments.next().ok_or("how many rounds?")?.parse()?;
    let settings = Settings::from_env()?;
    // The SDK first: it loads and owns the module of a token, and the floor finds it loaded.
    let sdk = Arc::new(Contender::new(Variant::Sdk, &settings, signing).await?);
    let floor = Arc::new(Contender::new(Variant::Floor, &settings, signing).await?);
    let both = Both { contenders: Pair { floor, sdk }, settings };

    let mut done = Vec::new();
    for round in 0..rounds {
        done.push(both.round(round).await?);
    }
    let over = match both.settings.ca_file {
        _ if both.settings.only_signs => "nothing",
        _ if !both.settings.origin.is_tls => "plain",
        Some(_) => "tls",
        None => "tls+roots",
    };
    let over = over.to_owned();
    let scenario = Scenario { over, signing, callers: both.settings.concurrency };
    let turns = Turns { scenario, rounds: done, allocations: both.allocations().await };
    println!("{}", serde_json::to_string(&turns)?);
    // The floor's sessions first: the SDK owns the module.
    drop(both.contenders.floor);
    both.contenders.sdk.shut_down().await
}

struct Both {
    contenders: Pair<Arc<Contender>>,
    settings: Settings,
}

impl Both {
    /// Runs both by turns, `SLICES` each, so that other load affects both equally. They alternate in going
    /// first.
    async fn round(&self, round: usize) -> Result<Round> {
        let mut order = [Variant::Floor, Variant::Sdk];
        order.rotate_left(round % 2);
        let [first, _] = order;
        let mut passes = Pair::<load::Pass>::default();
        for variant in order {
            self.warm_up(variant).await;
        }
        for _ in 0..SLICES {
            for variant in order {
                let slice = self.run(variant, self.settings.calls / SLICES, Keep::Latencies).await;
                passes.of_mut(variant).add(slice);
            }
            order.reverse();
        }
        // In a separate pass: it takes processor time, too.
        let (mut timer_p99_us, mut timer_failed) = (Pair::default(), Pair::default());
        for variant in order {
            let timer = Timer::start();
            let pass = self.run(variant, self.settings.calls / SLICES, Keep::Nothing).await;
            *timer_p99_us.of_mut(variant) = timer.stop().await?;
            *timer_failed.of_mut(variant) = pass.failed;
        }
        let figures = Pair { floor: Figures::of(passes.floor), sdk: Figures::of(passes.sdk) };
        Ok(Round { first, figures, timer_p99_us, timer_failed })
    }

    async fn allocations(&self) -> Pair<PerCall> {
        let mut both = Pair::default();
        for variant in [Variant::Floor, Variant::Sdk] {
            self.warm_up(variant).await;
            allocations::start();
            let pass = self.run(variant, self.settings.calls, Keep::Nothing).await;
            let (allocations, bytes) = allocations::stop();
            let per_call = |sum: u64| sum as f64 / pass.calls as f64;
            *both.of_mut(variant) =
                PerCall { allocations: per_call(allocations), bytes: per_call(bytes) };
        }
        both
    }

    async fn warm_up(&self, variant: Variant) {
        self.run(variant, self.settings.warmup, Keep::Nothing).await;
    }

    async fn run(&self, variant: Variant, calls: usize, keep: Keep) -> load::Pass {
        let contender = match variant {
            Variant::Floor => &self.contenders.floor,
            Variant::Sdk => &self.contenders.sdk,
        };
        load::run(contender, self.settings.concurrency, calls, keep).await
    }
}
