//! Why a journal cannot be used.

use std::fmt;
use std::io;
use std::sync::Arc;

use thiserror::Error;
use wxpay_auth::{foreign_text, write_report};

use super::line::VERSION;

/// Why the journal of a job cannot be used.
#[derive(Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The operating system refuses.
    #[error("cannot {action} the journal")]
    #[non_exhaustive]
    Io {
        /// What was tried, such as `open`.
        action: &'static str,
        /// Its error.
        source: io::Error,
    },
    /// Another job, in this process or another one, has it open.
    #[error("the journal is in use by another job")]
    Locked,
    /// A line is none of a journal. A last line without its end is none of these: it is cut off.
    #[error("line {line} of the journal is malformed: {why}")]
    #[non_exhaustive]
    Malformed {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// It is the journal of another `mchid` or base URL.
    #[error("the journal has the {field} {found}, not {expected}")]
    #[non_exhaustive]
    OtherOwner {
        /// `mchid` or `base_url`.
        field: &'static str,
        /// What this job has.
        expected: String,
        /// What the journal has.
        found: String,
    },
    /// It is the journal of a dry run, and this is none, or the other way round.
    #[error("the journal is that of {}", if *is_dry_run { "a dry run" } else { "a real run" })]
    #[non_exhaustive]
    OtherMode {
        /// Whether the journal is that of a dry run.
        is_dry_run: bool,
    },
    /// It was written by another version.
    #[error("the journal has the format {found}, this version reads {VERSION}")]
    #[non_exhaustive]
    Version {
        /// The number of its format.
        found: u32,
    },
    /// Its list is complete: it cannot have another one.
    #[error("the journal already has its list of {plans} plans")]
    #[non_exhaustive]
    AlreadyListed {
        /// How many plans are in it.
        plans: usize,
    },
    /// Its list is missing, or was interrupted. Nothing was called.
    #[error("the journal has no complete list of plans")]
    NotListed,
    /// It could not be written. What was not written was not called.
    #[error("cannot write the journal")]
    #[non_exhaustive]
    Write {
        /// The error of the operating system.
        source: Arc<io::Error>,
    },
}

impl JournalError {
    pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }

    pub(crate) fn malformed(line: u64, why: impl fmt::Display) -> Self {
        Self::Malformed { line, why: foreign_text(&why.to_string(), 200, &[]) }
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check the path, its permissions, and the space on the disk",
            Self::Locked => {
                "wait for the other job, or take another file; to share a list between processes, give each its own journal, and leases"
            }
            Self::Malformed { .. } => {
                "take the file that the job wrote; if a disk lost its end, keep a copy, cut it before this line, and run again: each plan is looked up before it is called"
            }
            Self::OtherOwner { .. } => {
                "give the journal that belongs to this client, or a new file: a list of one mchid is not ended with the key of another"
            }
            Self::OtherMode { .. } => "take another file for the real run than for the dry run",
            Self::Version { .. } => "finish the job with the version that began it",
            Self::AlreadyListed { .. } => {
                "run it to resume it, or take a new file for another list"
            }
            Self::NotListed => "list the plans first",
            Self::Write { .. } => {
                "make room on its disk, and open the journal again: it is resumed"
            }
        }
    }
}

/// Prints one line with the causes and the hint.
impl fmt::Debug for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, self.hint())
    }
}
