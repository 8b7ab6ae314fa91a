//! What the programs of this package share: the floor, the SDK, and how both are measured.
//!
//! `README.md` says what is measured, how, and what the figures mean.

pub mod allocations;
pub mod contender;
pub mod figures;
pub mod floor;
pub mod load;
pub mod percentile;
pub mod sdk;
pub mod settings;
pub mod signing;
pub mod timer;
pub mod tls;
pub mod token;
pub mod usage;

/// What goes wrong in a benchmark: it is shown, and nothing else is done with it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;
