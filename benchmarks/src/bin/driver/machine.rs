//! The machine that the figures were measured on.

use std::process::Command;

use serde::Serialize;
use wxpay_auth::{Clock, SystemClock};

const LOCK: &str = include_str!("../../../Cargo.lock");
const CRATES: [&str; 9] = [
    "wxpay-transport",
    "ring",
    "aws-lc-rs",
    "aws-lc-sys",
    "cryptoki",
    "hyper",
    "rustls",
    "tokio",
    "tokio-rustls",
];

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    pub(crate) commit: String,
    pub(crate) crates: Vec<String>,
    /// The last minute, before anything was started: shows whether the machine was otherwise in use.
    pub(crate) load_average: String,
    pub(crate) unix_seconds: u64,
}

impl Machine {
    pub(crate) fn here() -> Self {
        let file = |path| std::fs::read_to_string(path).unwrap_or_default();
        let processor = file("/proc/cpuinfo");
        let processor = processor.lines().find_map(|line| line.strip_prefix("model name"));
        Self {
            processor: processor.unwrap_or("unknown").trim_matches([' ', '\t', ':']).to_owned(),
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
            rustc: output("rustc", &["--version"]),
            commit: output("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
            crates: CRATES.iter().map(|name| format!("{name} {}", version(name))).collect(),
            load_average: file("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            unix_seconds: SystemClock.now().as_unix_secs(),
        }
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}

fn version(name: &str) -> &'static str {
    let mut lines = LOCK.lines();
    let wanted = format!("name = \"{name}\"");
    let _ = lines.find(|line| *line == wanted);
    lines
        .next()
        .and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .unwrap_or("?")
}
