//! Writes an append-only audit log: one line of JSON for each signed request.
//!
//! ```sh
//! cargo run -p wxpay-examples --example audit_log -- audit.jsonl
//! ```
//!
//! A separate thread writes, so that no call waits for a disk. Nothing is dropped: if the thread falls
//! behind, records wait in memory, and `main` waits for the last one.

#[path = "shared/arguments.rs"]
mod arguments;

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use wxpay_marketing::{DeliveryPlans, PlanId};
use wxpay_testing::Gateway;
use wxpay_transport::{Audit, AuditRecord, BaseUrl, Client};

/// Passes records to the thread that writes them.
#[derive(Debug)]
struct AuditLog {
    lines: Sender<String>,
}

impl AuditLog {
    /// Opens a file for appending, and starts the thread, which ends when the log is dropped.
    fn open(path: &str) -> std::io::Result<(Self, JoinHandle<std::io::Result<()>>)> {
        let mut file: File = OpenOptions::new().create(true).append(true).open(path)?;
        let (lines, waiting) = mpsc::channel::<String>();
        let writing = thread::spawn(move || {
            for line in waiting {
                // One write per line: with `append`, lines of several processes do not mix.
                file.write_all(line.as_bytes())?;
            }
            file.sync_all()
        });
        Ok((Self { lines }, writing))
    }
}

impl Audit for AuditLog {
    fn record(&self, record: &AuditRecord<'_>) {
        let line = serde_json::to_string(record).unwrap_or_else(|e| format!("\"{e}\""));
        if self.lines.send(format!("{line}\n")).is_err() {
            // For example a full disk: an application decides here whether to continue.
            eprintln!("the audit log is not written any more: {line}");
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ([path], []) = arguments::arguments("audit_log PATH");
    let (log, writing) = AuditLog::open(&path)?;

    let gateway = Gateway::start().await;
    let client = Client::builder(gateway.mchid(), gateway.signer(), gateway.key_ring())
        .base_url(BaseUrl::new(gateway.base_url())?)
        .audit(log)
        .build()?;
    let plans = DeliveryPlans::new(client);
    plans.terminate(&PlanId::new("12000")?).await?;
    // The plan has already ended: WeChat Pay refuses this call, and the log shows it.
    if let Err(error) = plans.terminate(&PlanId::new("12000")?).await {
        println!("refused: {error}");
    }

    drop(plans);
    writing.join().map_err(|_| "the thread that writes has panicked")??;
    println!("written to {path}");
    Ok(())
}
