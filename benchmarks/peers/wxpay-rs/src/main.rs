//! The measured call, made with the crate `wxpay-rs`.
//!
//! One `ServiceTransport`, what all services of that crate send through, with its own HTTP client
//! and signer. It signs, sends, and verifies every response.

mod measure;
mod stand_in;

use std::env;
use std::fs;
use std::sync::Arc;
use std::thread::available_parallelism;

use wxpay_rs::auth::Sha256RsaSigner;
use wxpay_rs::http::{HttpMethod, ReqwestHttpClient};
use wxpay_rs::services::transport::ServiceTransport;
use wxpay_rs::{WxPayConfig, WxPayResult};

use crate::measure::{measure, Plan};
use crate::stand_in::StandIn;

/// Errors of the application, which end the benchmark.
type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    // The HTTP client uses the system's roots and cannot be given others; the library that loads them looks
    // here first. No other thread runs yet.
    env::set_var("SSL_CERT_FILE", env::var("CA_FILE")?);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<(), Failure> {
    let plan = Plan::from_environment()?;
    let target: Arc<str> = env::var("TARGET")?.into();
    let transport = transport(plan.concurrency)?;
    let report = measure(plan, move || {
        let (transport, target) = (transport.clone(), target.clone());
        async move { terminate(&transport, &target).await.map_err(|e| e.to_string()) }
    })
    .await;
    println!("{report}");
    Ok(())
}

/// Makes the call: an empty POST with an empty response.
async fn terminate(transport: &ServiceTransport, target: &str) -> WxPayResult<()> {
    transport.request_default(HttpMethod::Post, target, None, "terminate").await
}

fn transport(concurrency: usize) -> Result<ServiceTransport, Failure> {
    let (mchid, serial_no) = (env::var("MCHID")?, env::var("SERIAL_NO")?);
    let key = fs::read(env::var("MERCHANT_KEY")?)?;
    let config = WxPayConfig::builder()
        .app_id("wx0000000000000000")
        .merchant_id(&mchid)
        .api_v3_key("0".repeat(32))
        .private_key(key.clone())
        .cert_serial_number(&serial_no)
        .platform_public_key(env::var("PUBLIC_KEY_ID")?, fs::read(env::var("PUBLIC_KEY")?)?)
        .build()?;
    let http = ReqwestHttpClient::builder().max_idle_connections(concurrency.max(100)).build()?;
    // By default, the signer refuses a call while as many signatures as cores are in progress and 64 wait.
    let cores = available_parallelism()?.get();
    let signer = Sha256RsaSigner::new(mchid, &key, serial_no)?
        .with_signing_capacity(cores, concurrency.max(64))?;
    let stand_in = StandIn::new(http, config.base_url(), env::var("BASE_URL")?);
    Ok(ServiceTransport::new(Arc::new(config), Arc::new(stand_in), Arc::new(signer)))
}
