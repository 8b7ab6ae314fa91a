//! Measures growth: `growth calls|merchants|merchants-with-default-roots|keys SIGNING UP_TO`, with the
//! environment of `peers/README.md`. Prints one line of JSON per step.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use wxpay_auth::{
    Algorithm, Clock, KeyRing, PrivateKey, PublicKey, SignedMessage, SystemClock, Verifier,
    WechatpaySerial,
};
use wxpay_benchmarks::Result;
use wxpay_benchmarks::contender::{Contender, Variant};
use wxpay_benchmarks::load::{self, Keep};
use wxpay_benchmarks::percentile::Spread;
use wxpay_benchmarks::settings::Settings;
use wxpay_benchmarks::signing::Signing;
use wxpay_benchmarks::usage::rss_kib;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().ok_or("what grows?")?;
    let signing: Signing = arguments.next().ok_or("what signs?")?.parse()?;
    let up_to: usize = arguments.next().ok_or("up to where?")?.parse()?;
    let mut settings = Settings::from_env()?;
    match what.as_str() {
        "calls" => calls(&settings, signing, up_to).await,
        "merchants" => merchants(&settings, signing, up_to).await,
        "merchants-with-default-roots" => {
            // They trust the platform's roots, not the server's: they make no calls.
            settings.ca_file = None;
            idle_merchants(&settings, signing, up_to).await.map(drop)
        }
        "keys" => keys(&settings, signing, up_to).await,
        other => Err(format!("nothing here grows with {other}").into()),
    }
}

/// Processor time per call, and memory after a number of calls: all in one process, with one client.
async fn calls(settings: &Settings, signing: Signing, up_to: usize) -> Result<()> {
    let sdk = Arc::new(Contender::new(Variant::Sdk, settings, signing).await?);
    for calls in steps(10, up_to) {
        let callers = settings.concurrency.min(calls);
        let pass = load::run(&sdk, callers, calls, Keep::Nothing).await;
        let cpu_us = pass.cpu_seconds / calls as f64 * 1e6;
        print(&json!({
            "calls": calls, "cpu_us_per_call": cpu_us, "rss_kib": rss_kib(), "failed": pass.failed,
        }));
    }
    Ok(())
}

/// Memory with a number of merchants in one process, each with its own client, key and ring: before any
/// has called, and after each has called once (and holds a connection).
async fn merchants(settings: &Settings, signing: Signing, up_to: usize) -> Result<()> {
    let clients = idle_merchants(settings, signing, up_to).await?;
    let mut failed = 0;
    for client in &clients {
        failed += usize::from(client.call(0).await.is_err());
    }
    print(&json!({
        "merchants": clients.len(), "calls_each": 1, "rss_kib": rss_kib(), "failed": failed,
    }));
    Ok(())
}

async fn idle_merchants(
    settings: &Settings,
    signing: Signing,
    up_to: usize,
) -> Result<Vec<Contender>> {
    let mut clients = Vec::new();
    for merchants in steps(10, up_to) {
        let (start, before) = (Instant::now(), clients.len());
        while clients.len() < merchants {
            clients.push(Contender::new(Variant::Sdk, settings, signing).await?);
        }
        let ms_each = start.elapsed().as_secs_f64() * 1e3 / (merchants - before) as f64;
        print(&json!({
            "merchants": merchants, "calls_each": 0, "rss_kib": rss_kib(), "ms_each": ms_each,
        }));
    }
    Ok(clients)
}

/// Time to verify with a number of keys in the ring.
async fn keys(settings: &Settings, signing: Signing, up_to: usize) -> Result<()> {
    const VERIFICATIONS: u32 = 2000;
    let backend = signing.backend();
    // Any key pair will do here, and this one is available.
    let pair = PrivateKey::from_pem_file_with(backend, &settings.merchant_key)?;
    let message = b"1722850421\nd824f2e086d3c1df967785d13fcd22ef\n\n";
    let signature = pair.sign(message)?;
    let other = PublicKey::from_pem_file(&settings.public_key)?.with_backend(backend)?;
    for keys in steps(4, up_to) {
        let ring = KeyRing::new();
        for other_id in 1..keys {
            let id: WechatpaySerial = format!("PUB_KEY_ID_{other_id:034}").parse()?;
            ring.insert_public_key(id, other.clone())?;
        }
        let serial: WechatpaySerial = settings.public_key_id.parse()?;
        ring.insert_public_key(serial.clone(), pair.public_key().clone())?;
        let signed = SignedMessage::new(
            &serial,
            Algorithm::Sha256Rsa2048,
            message,
            &signature,
            SystemClock.now(),
        );
        let mut rounds_us = Vec::new();
        for _ in 0..5 {
            let start = Instant::now();
            for _ in 0..VERIFICATIONS {
                black_box(ring.verify(black_box(signed)).await)?;
            }
            rounds_us.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(VERIFICATIONS));
        }
        print(&json!({ "keys": keys, "verify_us": Spread::of(rounds_us) }));
    }
    Ok(())
}

/// Returns 1, and each further step `factor` times the previous one.
fn steps(factor: usize, up_to: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), move |step| Some(step * factor))
        .take_while(move |step| *step <= up_to)
}

fn print(line: &serde_json::Value) {
    println!("{line}");
}
