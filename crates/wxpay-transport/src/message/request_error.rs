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
    /// The file to upload is empty.
    #[error("the file to upload is empty")]
    EmptyFile,
    /// The file to upload is too large.
    #[error("the file to upload has {length} bytes, at most {limit} are allowed")]
    #[non_exhaustive]
    FileTooLarge {
        /// Its length in bytes.
        length: usize,
        /// The maximum length in bytes.
        limit: usize,
    },
    /// The file name is empty or too long.
    #[error("the file name has {length} characters, 1 to {limit} are allowed")]
    #[non_exhaustive]
    FileNameLength {
        /// Its length in characters.
        length: usize,
        /// The maximum length in characters.
        limit: usize,
    },
    /// The file name has a character that is not allowed.
    #[error("the file name has a character that is not allowed, at byte {position}")]
    #[non_exhaustive]
    FileNameCharacter {
        /// Its byte position, from 0.
        position: usize,
    },
    /// The media type of the file is malformed, or does not follow from its name.
    #[error("the media type of the file is not known, or malformed")]
    MediaType,
    /// The given part `meta` of an upload is not a JSON object.
    #[error("the meta of the upload is not a JSON object")]
    Meta,
    /// The download URL cannot be read.
    #[error("the download URL cannot be read")]
    DownloadUrl,
    /// The download URL leads to a host that is not a domain of the client.
    #[error("the download URL leads to {origin}, which is not a domain of this client")]
    #[non_exhaustive]
    DownloadOrigin {
        /// Scheme, host and port of the URL.
        origin: String,
    },
    /// The expected hash has the wrong form.
    #[error("the expected hash is not {digits} hexadecimal digits")]
    #[non_exhaustive]
    HashValue {
        /// How many digits a hash of this type has.
        digits: usize,
    },
    /// The type of the expected hash is not supported.
    #[error("hashes of the type {hash_type} are not supported")]
    #[non_exhaustive]
    HashType {
        /// The type, as the response names it.
        hash_type: String,
    },
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
            Self::EmptyFile => "check that the file was read",
            Self::FileTooLarge { .. } => {
                "make the file smaller; if the interface allows more, raise Upload::max_bytes"
            }
            Self::FileNameLength { .. } => {
                "give a name such as logo.png; if the interface allows more, raise Upload::max_file_name"
            }
            Self::FileNameCharacter { .. } => {
                "give a name of printable ASCII characters without quotes, slashes and backslashes, such as logo.png"
            }
            Self::MediaType => "set it with Upload::media_type, such as image/png",
            Self::Meta => "give the bytes of a JSON object, or none",
            Self::DownloadUrl => "pass the download_url of the response as it is",
            Self::DownloadOrigin { .. } => {
                "nothing was sent; if WeChat Pay itself names this host, allow it with \
                 ClientBuilder::download_domain"
            }
            Self::HashValue { .. } => "pass the hash_value of the response as it is",
            Self::HashType { .. } => "use a call whose files have a SHA-1 or a SHA-256",
        }
    }
}

/// Prints one line with the hint, so that a `main` that returns the error shows it.
impl fmt::Debug for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, self.hint())
    }
}
