//! A separate tinyproxy for a test.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A `tinyproxy` on a free port of this machine, stopped on drop.
#[derive(Debug)]
pub struct Tinyproxy {
    port: u16,
    settings: PathBuf,
    process: Child,
}

impl Tinyproxy {
    /// Starts a proxy with additional configuration lines.
    ///
    /// # Panics
    /// Panics if it does not start.
    pub fn start(lines: &[&str]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        // Another program may bind the port before the proxy does.
        for _ in 0..10 {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("wxpay-tinyproxy-{}-{number}.conf", std::process::id());
            let settings = std::env::temp_dir().join(name);
            let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let port = free.local_addr().expect("an address").port();
            drop(free);
            let text = format!(
                "Port {port}\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 60\nMaxClients 20\n{}\n",
                lines.join("\n")
            );
            std::fs::write(&settings, text).expect("a file");
            let process = Command::new("tinyproxy")
                .arg("-d")
                .arg("-c")
                .arg(&settings)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("tinyproxy: run scripts/test");
            let mut proxy = Self { port, settings, process };
            if proxy.listens() {
                return proxy;
            }
        }
        panic!("tinyproxy does not start: run scripts/test");
    }

    /// Returns its URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns its URL with `user:password@`.
    pub fn url_with(&self, credentials: &str) -> String {
        self.url().replace("://", &format!("://{credentials}@"))
    }

    fn listens(&mut self) -> bool {
        for _ in 0..1000 {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return false;
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Tinyproxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.settings);
    }
}
