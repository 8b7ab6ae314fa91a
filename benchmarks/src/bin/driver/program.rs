//! Measured programs: started, monitored, and killed after a time limit.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use wxpay_benchmarks::Result;

/// How to start a program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Program {
    pub(crate) command: Vec<String>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) environment: BTreeMap<String, String>,
}

/// The result of a program.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Time from its start to its line `first`.
    pub(crate) first_ms: Option<f64>,
    /// The other lines it printed.
    pub(crate) lines: Vec<String>,
}

/// Unset, so that no program reaches the local server through a proxy.
const PROXIES: [&str; 6] =
    ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

impl Program {
    /// A program of this package.
    pub(crate) fn ours(name: &str, arguments: &[&str]) -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name(name);
        let mut command = vec![program.to_string_lossy().into_owned()];
        command.extend(arguments.iter().map(|&argument| argument.to_owned()));
        Ok(Self { command, ..Self::default() })
    }

    /// Adds to its environment.
    pub(crate) fn with<'a>(
        mut self,
        environment: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Self {
        self.environment.extend(environment.into_iter().map(|(name, v)| (name.to_owned(), v)));
        self
    }

    /// Runs it until it ends.
    pub(crate) fn run(&self, limit: Duration) -> Result<Ended> {
        let start = Instant::now();
        let mut child = self.spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut stderr = child.stderr.take().ok_or("no standard error")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(std::io::Result::ok) {
                let _ = sender.send((start.elapsed(), line));
            }
        });
        let complaints = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let mut ended = Ended { first_ms: None, lines: Vec::new() };
        loop {
            match lines.recv_timeout(limit.saturating_sub(start.elapsed())) {
                Ok((after, line)) if line == "first" => {
                    ended.first_ms = Some(after.as_secs_f64() * 1e3);
                }
                Ok((_, line)) => ended.lines.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    child.kill()?;
                    child.wait()?;
                    return Err(format!("{:?} took longer than {limit:?}", self.command).into());
                }
            }
        }
        let status = child.wait()?;
        if status.success() {
            return Ok(ended);
        }
        let complaints = complaints.join().unwrap_or_default();
        let last = complaints.lines().rev().take(5).collect::<Vec<_>>();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        Err(format!("{:?}: {status}: {last}", self.command).into())
    }

    fn spawn(&self) -> Result<Child> {
        let (name, arguments) = self.command.split_first().ok_or("an empty command")?;
        let mut command = Command::new(name);
        command.args(arguments).envs(&self.environment);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        if self.environment.contains_key("BASE_URL") {
            for proxy in PROXIES {
                command.env_remove(proxy);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().map_err(|e| format!("{name}: {e}").into())
    }
}

impl Ended {
    /// Parses the last line.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        let last = self.lines.last().ok_or("it printed nothing")?;
        serde_json::from_str(last).map_err(|e| format!("it printed {last}: {e}").into())
    }
}
