//! Load tests and long-running tests. No other test of this repository runs at the same time, and each has a
//! process of its own, because some count its descriptors and memory.

mod fault_matrix;
mod foreign_responses;
mod large_responses;
mod slow_loris;
mod soak;
