//! Terminates many plans, with a journal on disk from which an interrupted job is resumed.
//!
//! 1. [`BulkJournal::open`] creates the journal, or resumes the one that is there.
//! 2. [`BulkJournal::list`] or [`BulkJournal::list_brand`] writes down which plans are meant, before the first call.
//! 3. [`BulkTermination::run`] ends them.
//! 4. [`BulkReport`] says what became of each.
//!
//! Before each call, the journal says on disk that it is about to be made. So after a crash, at any point, it is known
//! which calls may have gone out: their plans are read first.

mod error;
mod journal;
mod leases;
mod outcome;
mod plan;
mod report;
mod run;

pub use self::error::BulkError;
pub use self::journal::{BulkJournal, JobOwner, JournalError};
#[cfg(feature = "redis")]
pub use self::leases::RedisPlanLeases;
pub use self::leases::{Claim, Lease, LeaseError, NoLeases, PlanLeases};
pub use self::outcome::PlanOutcome;
pub use self::plan::BulkPlan;
pub use self::report::{BulkReport, BulkReportRow};
pub use self::run::{BulkEvent, BulkProgress, BulkTermination, StopHandle};
