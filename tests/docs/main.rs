//! The documentation that users read and run: the README, the guides, the example programs.

mod links;
mod programs;
mod readme;
mod reexports;
