//! The floor or the SDK alone, as a program for `peers/README.md`: `contender FLOOR|SDK RING|AWS-LC-RS|SOFTHSM`.

use std::sync::Arc;

use wxpay_benchmarks::Result;
use wxpay_benchmarks::contender::{Contender, Variant};
use wxpay_benchmarks::figures::Figures;
use wxpay_benchmarks::load::{self, Keep};
use wxpay_benchmarks::settings::Settings;
use wxpay_benchmarks::signing::Signing;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let variant: Variant = arguments.next().ok_or("floor or sdk?")?.parse()?;
    let signing: Signing = arguments.next().ok_or("what signs?")?.parse()?;
    let settings = Settings::from_env()?;
    let contender = Arc::new(Contender::new(variant, &settings, signing).await?);
    contender.call(0).await?;
    println!("first");
    if settings.calls == 0 {
        return Ok(());
    }
    let callers = settings.concurrency;
    load::run(&contender, callers, settings.warmup.saturating_sub(1), Keep::Nothing).await;
    let pass = load::run(&contender, callers, settings.calls, Keep::Latencies).await;
    println!("{}", serde_json::to_string(&Figures::of(pass))?);
    contender.shut_down().await
}
