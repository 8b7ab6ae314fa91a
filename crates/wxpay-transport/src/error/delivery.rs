//! What became of a request that did not end well.

use std::fmt;

/// Says what really happened to a request on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// A response with a status other than 2xx came back: from WeChat Pay, or from something in front of it.
    /// What that means: see [`Outcome`].
    Answered,
    /// Not a byte of the request was written.
    NotSent,
    /// At least one byte was written, and no response that can be trusted came back.
    Unknown,
}

impl Delivery {
    /// Returns its name in logs, metrics and JSON: `answered`, `not_sent` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Says what became of the call: what a caller has to decide on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// WeChat Pay refused it: it was not carried out.
    Rejected,
    /// Nothing was sent: it was not carried out.
    NotSent,
    /// It may have been carried out. Ask (read the state) before anything is sent again.
    Unknown,
}

impl Outcome {
    /// Returns its name in logs, metrics and JSON: `rejected`, `not_sent` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
