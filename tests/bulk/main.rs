//! Many plans ended with a journal: what becomes of each, and what a crash leaves.

mod crashes;
mod dry_runs;
mod outcomes;
mod stopping;
