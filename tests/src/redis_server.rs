//! A separate Redis server for a test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::signals::{self, Signal};

/// The variable that names the server program if it is not `redis-server`.
const PROGRAM: &str = "WXPAY_TEST_REDIS_SERVER";

/// A `redis-server` on a free port of this machine, stopped on drop.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    arguments: Vec<String>,
    directory: PathBuf,
    process: Child,
}

impl RedisServer {
    /// Starts a server without a password.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with additional arguments.
    pub fn start_with(arguments: &[&str]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = format!("wxpay-redis-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        std::fs::create_dir_all(&directory).expect("a directory");
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        // Another program may bind the port before the server does.
        for _ in 0..10 {
            let port = free_port();
            if let Some(process) = launch(port, &arguments, &directory) {
                return Self { port, arguments, directory, process };
            }
        }
        panic!("redis-server does not start: run scripts/test");
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the server: it cannot close its connections properly.
    pub fn kill(&mut self) {
        self.process.kill().expect("a process");
        self.process.wait().expect("a process");
    }

    /// Starts it again on the same port, without its previous data.
    pub fn restart(&mut self) {
        self.process = launch(self.port, &self.arguments, &self.directory).expect("it starts");
    }

    /// Stops the process: it keeps its connections, but does not respond.
    pub fn freeze(&self) {
        signals::send(Signal::STOP, self.process.id());
    }

    /// Resumes the process.
    pub fn thaw(&self) {
        signals::send(Signal::CONT, self.process.id());
    }

    /// Runs a command, and returns the response without its type and length.
    pub fn run(&self, command: &[&str]) -> String {
        run(self.port, command).expect("a response")
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Finds a free port.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

fn launch(port: u16, arguments: &[String], directory: &PathBuf) -> Option<Child> {
    let program = std::env::var_os(PROGRAM).unwrap_or_else(|| "redis-server".into());
    let mut process = Command::new(program)
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--port", &port.to_string(), "--dir"])
        .arg(directory)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server: run scripts/test");
    for _ in 0..3000 {
        if process.try_wait().expect("a process").is_some() {
            return None;
        }
        // A server with a password refuses, which is also a response.
        if run(port, &["PING"]).is_ok() {
            return Some(process);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = process.kill();
    let _ = process.wait();
    None
}

fn run(port: u16, command: &[&str]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut request = format!("*{}\r\n", command.len());
    for word in command {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(request.as_bytes())?;
    let mut response = BufReader::new(stream);
    let mut line = String::new();
    response.read_line(&mut line)?;
    let Some(length) = line.strip_prefix('$').map(str::trim) else {
        return Ok(line.trim().get(1..).unwrap_or_default().to_owned());
    };
    // `$-1` means no value.
    let mut value = vec![0; length.parse().unwrap_or(0)];
    response.read_exact(&mut value)?;
    Ok(String::from_utf8_lossy(&value).into_owned())
}
