//! Clients under adverse conditions: broken streams, forged responses, proxies, addresses, hooks that panic;
//! and what logs and errors show of them.

mod addresses;
mod audit;
mod composition;
mod connecting;
mod echoes;
mod foreign_client;
mod many_clients;
mod markers;
mod meanwhile;
mod misbehaviour;
mod observability;
mod odd_responses;
mod own_parts;
mod own_process;
mod panicking_observers;
mod panics;
mod proxies;
mod request_on_the_wire;
mod secrets;
mod sign_error;
mod unverifiable;
mod wire_faults;
