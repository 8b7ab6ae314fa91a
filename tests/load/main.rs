//! Many at the same time, and for a while. Each test has the machine to itself, as far as it is ours, and a
//! process of its own, whose descriptors and memory some of them count.

mod fault_matrix;
mod foreign_responses;
mod slow_loris;
mod soak;
