//! Courses of calls: refused, retried, moved to the other domain, cancelled, timed out.

mod cancellation;
mod failover;
mod overload;
mod retries;
mod timeouts;
mod two_runtimes;
