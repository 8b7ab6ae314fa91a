//! Resources of the process: tasks, file descriptors, memory.

use std::collections::HashSet;
use std::fs::DirEntry;
use std::time::Duration;

/// Counts the tasks of a runtime, and file descriptors of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    tasks: usize,
    descriptors: usize,
    kind: Kind,
}

/// The descriptors that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    All,
    Tcp,
    None,
}

impl Footprint {
    /// Counts all file descriptors: for a test in its own process.
    ///
    /// # Panics
    /// Panics outside of Linux, and outside of a runtime.
    pub fn of_process() -> Self {
        Self::count(Kind::All)
    }

    /// Counts TCP descriptors only: runtimes of other tests, which may start meanwhile, have none.
    ///
    /// # Panics
    /// Panics outside of Linux, and outside of a runtime.
    pub fn of_sockets() -> Self {
        Self::count(Kind::Tcp)
    }

    /// Counts no descriptors: for a test that runs beside others.
    ///
    /// # Panics
    /// Panics outside of a runtime.
    pub fn of_tasks() -> Self {
        Self::count(Kind::None)
    }

    fn count(kind: Kind) -> Self {
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let descriptors = match kind {
            Kind::All => descriptors().count(),
            Kind::Tcp => {
                let inodes = tcp_inodes();
                // A descriptor closed meanwhile has no link.
                let links = descriptors().flat_map(|entry| std::fs::read_link(entry.path()));
                let names = links.map(|link| link.to_string_lossy().into_owned());
                names.filter(|name| inodes.contains(name)).count()
            }
            Kind::None => 0,
        };
        Self { tasks, descriptors, kind }
    }

    /// Waits until the counts are no higher than these.
    ///
    /// # Panics
    /// Panics if they are still higher after a minute.
    pub async fn wait(&self, when: &str) {
        let now = || Self::count(self.kind);
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

fn descriptors() -> impl Iterator<Item = DirEntry> {
    std::fs::read_dir("/proc/self/fd").expect("Linux").flatten()
}

/// Returns the link targets of TCP descriptors.
fn tcp_inodes() -> HashSet<String> {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
    let tables: Vec<_> = tables.into_iter().flat_map(std::fs::read_to_string).collect();
    let lines = tables.iter().flat_map(|table| table.lines());
    let inodes = lines.filter_map(|line| line.split_whitespace().nth(9));
    inodes.map(|inode| format!("socket:[{inode}]")).collect()
}

/// Returns the resident memory of the process.
///
/// # Panics
/// Panics outside of Linux.
pub fn resident_bytes() -> u64 {
    status("VmRSS:")
}

/// Returns the most resident memory that the process has had.
///
/// # Panics
/// Panics outside of Linux.
pub fn peak_resident_bytes() -> u64 {
    status("VmHWM:")
}

fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib << 10
}
