//! The Transit engine of `HashiCorp` Vault and of OpenBao.

mod approval;
mod auth;
mod builder;
mod client;
#[cfg(fuzzing)]
pub mod fuzzing;
mod key;
mod lockout;
mod login;
mod names;
mod refusal;
mod session;
mod shared_requests;
mod token;
mod token_renewal;
mod transit;

pub use auth::VaultAuth;
pub use builder::VaultTransitBuilder;
pub use transit::VaultTransit;
