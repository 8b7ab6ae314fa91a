//! Notifications from the gateway to an HTTP server: refused, handed over once, sent again.

mod at_once;
mod duplicates;
mod handlers;
mod interchange;
mod receiver;
mod refused;
mod two_receivers;
