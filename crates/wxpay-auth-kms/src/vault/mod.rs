//! The Transit engine of `HashiCorp` Vault and of OpenBao.

mod approval;
mod auth;
mod builder;
mod client;
#[cfg(fuzzing)]
pub mod fuzzing;
mod keeper;
mod key;
mod lockout;
mod login;
mod names;
mod questions;
mod refusal;
mod session;
mod token;
mod transit;

pub use auth::VaultAuth;
pub use builder::VaultTransitBuilder;
pub use transit::VaultTransit;
