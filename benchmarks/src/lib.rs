//! The common parts of this package's programs: the floor, the SDK, and how both are measured.
//!
//! `README.md` explains what is measured, how, and what the figures mean.

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
pub mod vault;

/// An error of a benchmark, which is only shown.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// The result type of this package.
pub type Result<T> = std::result::Result<T, Error>;
