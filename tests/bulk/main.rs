//! Many plans ended with a journal: what becomes of each, and what a crash leaves.

mod crashes;
mod dry_runs;
mod leases;
mod outcomes;
mod stopping;
