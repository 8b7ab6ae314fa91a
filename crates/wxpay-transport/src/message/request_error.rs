//! Invalid requests.

use std::fmt;

use thiserror::Error;
use wxpay_auth::{WechatpaySerial, write_report};

/// Why a request is invalid. Nothing was sent.
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
        /// Its byte position, from 0.
        position: usize,
    },
    /// The target has a segment `.` or `..`.
    #[error("the request target has a segment . or ..")]
    DotSegment,
    /// A segment is empty.
    #[error("a path segment is empty")]
    EmptySegment,
    /// A segment was added after a query.
    #[error("a path segment was added after a query")]
    SegmentAfterQuery,
    /// The target is too long.
    #[error("the request target has {length} bytes, at most {limit} are allowed")]
    #[non_exhaustive]
    TargetTooLong {
        /// Its length in bytes.
        length: usize,
        /// The maximum length in bytes.
        limit: usize,
    },
    /// The header is set by the client.
    #[error("the header {name} is set by the client")]
    #[non_exhaustive]
    ReservedHeader {
        /// Its name.
        name: String,
    },
    /// The fields of the request are encrypted for more than one key.
    #[error("the fields of the request are encrypted for two keys, {first} and {second}")]
    #[non_exhaustive]
    SeveralSerials {
        /// The key that was set first.
        first: WechatpaySerial,
        /// The other one.
        second: WechatpaySerial,
    },
    /// The value cannot be converted to query parameters.
    #[error("query parameters must be a struct or map of strings, numbers and booleans{}",
        name.as_ref().map(|name| format!(", but {name} is none of these")).unwrap_or_default())]
    #[non_exhaustive]
    QueryForm {
        /// The member that is not a string, number or boolean.
        name: Option<String>,
    },
    /// The value cannot be serialized as JSON.
    #[error("the body or query parameters cannot be serialized as JSON")]
    NotJson,
}

impl RequestError {
    /// Returns what to do.
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
            Self::ReservedHeader { .. } => "remove it",
            Self::SeveralSerials { .. } => {
                "encrypt all fields of a request with the same FieldEncryptor"
            }
            Self::QueryForm { .. } => {
                "write lists and nested values as the documentation of the call says"
            }
            Self::NotJson => "check the Serialize implementation: maps need string keys",
        }
    }
}

/// Prints one line with the hint, so that a `main` that returns the error shows it.
impl fmt::Debug for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, self.hint())
    }
}
