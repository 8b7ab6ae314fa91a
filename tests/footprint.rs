//! What the process holds: tasks, file descriptors, memory.

use std::collections::HashSet;
use std::time::Duration;

/// Counts the tasks of a runtime, and file descriptors of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    tasks: usize,
    descriptors: usize,
    of_sockets: bool,
}

impl Footprint {
    /// Counts all file descriptors: for a test that is alone in its process.
    ///
    /// # Panics
    /// Outside of Linux, and outside of a runtime.
    pub fn of_process() -> Self {
        Self::count(false)
    }

    /// Counts those of TCP: runtimes of other tests, which may begin meanwhile, have none.
    ///
    /// # Panics
    /// Outside of Linux, and outside of a runtime.
    pub fn of_sockets() -> Self {
        Self::count(true)
    }

    fn count(of_sockets: bool) -> Self {
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let descriptors = std::fs::read_dir("/proc/self/fd").expect("Linux");
        let inodes = if of_sockets { tcp_inodes() } else { HashSet::new() };
        // One that is closed meanwhile leads nowhere.
        let is_tcp = |link: std::io::Result<std::path::PathBuf>| {
            let link = link.unwrap_or_default().to_string_lossy().into_owned();
            let inode = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            inode.is_some_and(|inode| inodes.contains(inode))
        };
        let links = descriptors.flatten().map(|entry| std::fs::read_link(entry.path()));
        let descriptors =
            links.map(|link| !of_sockets || is_tcp(link)).filter(|counts| *counts).count();
        Self { tasks, descriptors, of_sockets }
    }

    /// Waits until there is no more than this.
    ///
    /// # Panics
    /// When there still is after a minute.
    pub async fn wait(&self, when: &str) {
        let now = || Self::count(self.of_sockets);
        let is_left = |now: Self| now.tasks > self.tasks || now.descriptors > self.descriptors;
        let ended = async {
            while is_left(now()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
        ended.unwrap_or_else(|_| panic!("{when}: {self:?} before, {:?} now", now()));
    }
}

fn tcp_inodes() -> HashSet<String> {
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .into_iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| {
            let inode = |line: &str| line.split_whitespace().nth(9).map(str::to_owned);
            table.lines().filter_map(inode).collect::<Vec<_>>()
        })
        .collect()
}

/// Returns how much memory is resident.
///
/// # Panics
/// Outside of Linux.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib << 10
}
