//! Signals for processes started by the tests, sent by system call: small machines lack the package with the
//! program `kill`.

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// Sends a signal to a process by its id.
pub fn send(signal: Signal, id: u32) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw).expect("the id of a process");
    kill_process(id, signal).expect("the process runs, and may be sent signals");
}
