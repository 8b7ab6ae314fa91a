//! Records of all participants, and their totals.

use std::collections::BTreeMap;
use std::fmt;

use wxpay_testing::Entry;
use wxpay_transport::{Error, Outcome, Replay, Response};

use super::notary::{Record, Signed};

/// How a call ended for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Success,
    /// A 202: it is being executed.
    Accepted,
    Rejected,
    NotSent,
    Unknown,
    Dropped,
}

impl End {
    pub(crate) fn of(ended: &Result<Response, Error>) -> Self {
        match ended.as_ref().map_err(Error::outcome) {
            Ok(response) if response.status() == 202 => Self::Accepted,
            Ok(_) => Self::Success,
            Err(Outcome::Rejected) => Self::Rejected,
            Err(Outcome::NotSent) => Self::NotSent,
            Err(_) => Self::Unknown,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct CallMade {
    /// Unique among all calls.
    pub(crate) path: String,
    pub(crate) replay: Replay,
    pub(crate) end: End,
}

/// What one domain has received.
#[derive(Debug)]
pub(crate) struct Domain {
    pub(crate) host: String,
    pub(crate) entries: Vec<Entry>,
    /// Minimum number of requests that were read completely.
    pub(crate) read: usize,
}

#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) calls: Vec<CallMade>,
    pub(crate) signed: Vec<Signed>,
    pub(crate) records: Vec<Record>,
    pub(crate) domains: [Domain; 2],
}

#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) ends: BTreeMap<End, usize>,
    pub(crate) faults: BTreeMap<&'static str, usize>,
    /// Signed requests.
    pub(crate) attempts: usize,
    /// Signed requests that were not the first of their call.
    pub(crate) further: usize,
    /// Calls that were tried on both domains.
    pub(crate) moved: usize,
    pub(crate) arrived: usize,
    pub(crate) executions: usize,
}

impl Summary {
    pub(crate) fn add(&mut self, other: Self) {
        for (end, n) in other.ends {
            *self.ends.entry(end).or_default() += n;
        }
        for (fault, n) in other.faults {
            *self.faults.entry(fault).or_default() += n;
        }
        self.attempts += other.attempts;
        self.further += other.further;
        self.moved += other.moved;
        self.arrived += other.arrived;
        self.executions += other.executions;
    }

    pub(crate) fn calls(&self) -> usize {
        self.ends.values().sum()
    }

    /// Checks that enough happened to make the soak meaningful.
    pub(crate) fn assert_that_much_happened(&self) {
        for end in [End::Success, End::Rejected, End::NotSent, End::Unknown, End::Dropped] {
            let n = self.ends.get(&end).copied().unwrap_or_default();
            assert!(n >= 20, "only {n} calls ended with {end:?}: {self}");
        }
        for (n, what) in [(self.moved, "moved"), (self.further, "took another attempt")] {
            assert!(n >= 20, "only {n} calls {what}: {self}");
        }
        assert!(self.faults.len() >= 20, "{self}");
        for fault in ["black hole", "mute", "wrong certificate"] {
            assert!(self.faults.contains_key(fault), "no {fault}: {:?}", self.faults);
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ends, faults, attempts, further, moved, arrived, executions } = self;
        let injected: usize = faults.values().sum();
        write!(
            f,
            "{} calls {ends:?}, {attempts} attempts signed ({further} of them further ones), {moved} \
             calls tried at both domains, {arrived} requests arrived, {executions} carried out, \
             {injected} faults of {} kinds",
            self.calls(),
            faults.len(),
        )
    }
}
