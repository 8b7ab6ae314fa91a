//! The resource usage of this process.

use rustix::time::{ClockId, clock_gettime};

/// Returns the processor time of all threads, user and system, in seconds.
pub fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Returns the peak resident memory, in KiB.
pub fn peak_rss_kib() -> u64 {
    status("VmHWM:")
}

/// Returns the resident memory, in KiB.
pub fn rss_kib() -> u64 {
    status("VmRSS:")
}

fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
