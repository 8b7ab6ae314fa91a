//! Requests that cannot be sent.

use std::fmt;

use thiserror::Error;
use wxpay_auth::write_report;

/// Says why a request cannot be sent like this. Nothing left the process.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The target does not begin with `/`.
    #[error("the request target does not begin with /")]
    TargetNotAbsolute,
    /// The target has a character that must be percent-encoded.
    #[error("the request target has a character that must be percent-encoded, at byte {position}")]
    #[non_exhaustive]
    TargetNotEncoded {
        /// Where it stands, counted from 0.
        position: usize,
    },
    /// The target has a segment `.` or `..`.
    #[error("the request target has a segment . or ..")]
    DotSegment,
    /// A segment is empty.
    #[error("a path segment is empty")]
    EmptySegment,
    /// A segment was added behind a query.
    #[error("a path segment was added behind a query")]
    SegmentAfterQuery,
    /// The target is too long.
    #[error("the request target has {length} bytes, at most {limit} are possible")]
    #[non_exhaustive]
    TargetTooLong {
        /// Its length in bytes.
        length: usize,
        /// The longest that is possible, in bytes.
        limit: usize,
    },
    /// The header is set by the client itself.
    #[error("the header {name} is set by the client itself")]
    #[non_exhaustive]
    ReservedHeader {
        /// Its name.
        name: String,
    },
    /// What was given as query parameters has no form as such.
    #[error("query parameters are a struct or map of texts, numbers and booleans{}",
        name.as_ref().map(|name| format!(", and {name} is none of these")).unwrap_or_default())]
    #[non_exhaustive]
    QueryForm {
        /// The member that cannot be one.
        name: Option<String>,
    },
    /// What was given has no JSON form.
    #[error("what was given as body or query parameters has no JSON form")]
    NotJson,
}

impl RequestError {
    /// Says what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::TargetNotAbsolute => "give path and query only, such as /v3/certificates",
            Self::TargetNotEncoded { .. } => {
                "build it with Target::segment and Target::query, which encode"
            }
            Self::DotSegment => "servers resolve . and .. in a path: check the id",
            Self::EmptySegment => "check the id: it is empty",
            Self::SegmentAfterQuery => "add the segments first, then the query",
            Self::TargetTooLong { .. } => "check the ids and the query",
            Self::ReservedHeader { .. } => "leave it out",
            Self::QueryForm { .. } => {
                "write lists and nested values as the documentation of the call says"
            }
            Self::NotJson => "check the Serialize implementation: maps need string keys",
        }
    }
}

/// It is one line, with what caused the error and what to do: `main` prints it so.
impl fmt::Debug for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, self.hint())
    }
}
