//! What a client meets on its way: bytes that break, responses that lie, proxies, addresses, its own
//! application; and what of it may be seen.

mod addresses;
mod audit;
mod composition;
mod connecting;
mod echoes;
mod foreign_client;
mod many_clients;
mod markers;
mod misbehaviour;
mod observability;
mod odd_responses;
mod panics;
mod proxies;
mod request_on_the_wire;
mod secrets;
mod sign_error;
mod unverifiable;
mod wire_faults;
