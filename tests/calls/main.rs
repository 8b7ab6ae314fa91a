//! What becomes of a call: turned away, tried again, moved to the other domain, cut short, given up.

mod cancellation;
mod failover;
mod overload;
mod retries;
mod timeouts;
mod two_runtimes;
