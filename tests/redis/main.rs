//! State shared by several processes on a real Redis server.

mod connecting;
mod limit;
mod limiter;
mod lost_keys;
mod outages;
mod plan_leases;
