//! Signals for processes that the tests started, sent by the system call: the program `kill` comes with a
//! package that a small machine has not.

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// Sends a signal to a process by its id.
pub fn send(signal: Signal, id: u32) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw).expect("the id of a process");
    kill_process(id, signal).expect("the process runs, and may be sent signals");
}
