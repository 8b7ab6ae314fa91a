//! Downloads that did not succeed after their response had begun.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::StatusCode;

use super::call_context::CallContext;

/// Why a file cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DownloadFault {
    /// The whole content arrived, and its hash is not the expected one.
    WrongHash,
    /// The connection ended before the whole content had arrived.
    Truncated,
    /// The content, as received or as written, is larger than the limit.
    #[non_exhaustive]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The content begins as gzip, and is not whole or valid.
    MalformedGzip,
    /// No bytes arrived for this long.
    #[non_exhaustive]
    Stalled {
        /// The read timeout.
        after: Duration,
    },
    /// The whole download took longer than this.
    #[non_exhaustive]
    TimedOut {
        /// The timeout of the download.
        after: Duration,
    },
    /// The writer of the application failed.
    Writer,
    /// The status is a 2xx other than 200.
    UnexpectedStatus,
}

impl DownloadFault {
    /// Returns the fault of a file larger than this many bytes.
    pub const fn too_large(limit: u64) -> Self {
        Self::TooLarge { limit }
    }

    /// Returns the fault of a file of which nothing arrived for this long.
    pub const fn stalled(after: Duration) -> Self {
        Self::Stalled { after }
    }

    /// Returns the fault of a download that took longer than this.
    pub const fn timed_out(after: Duration) -> Self {
        Self::TimedOut { after }
    }
}

impl fmt::Display for DownloadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongHash => f.write_str("the hash of the file is not the expected one"),
            Self::Truncated => f.write_str("the file ended too early"),
            Self::TooLarge { limit } => write!(f, "the file is larger than {limit} bytes"),
            Self::MalformedGzip => f.write_str("the file is not valid gzip"),
            Self::Stalled { after } => write!(f, "nothing of the file arrived for {after:?}"),
            Self::TimedOut { after } => write!(f, "the file took longer than {after:?}"),
            Self::Writer => f.write_str("the file cannot be written"),
            Self::UnexpectedStatus => f.write_str("this status is not that of a file"),
        }
    }
}

/// A download failed after its response had begun.
///
/// What was [written](Self::written) until then must not be used: it was not checked, or it is not the file.
#[derive(Debug)]
pub struct DownloadError {
    pub(super) inner: Box<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) call: CallContext,
    status: StatusCode,
    request_id: Option<String>,
    fault: DownloadFault,
    written: u64,
    /// Whether the content is gzip, and was not unzipped.
    is_kept_gzip: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl DownloadError {
    /// Creates an error from the status, the fault, and how many bytes had been written, for tests of applications.
    pub fn new(
        call: CallContext,
        status: StatusCode,
        request_id: Option<String>,
        fault: DownloadFault,
        written: u64,
    ) -> Self {
        let (source, is_kept_gzip) = (None, false);
        let inner = Inner { call, status, request_id, fault, written, is_kept_gzip, source };
        Self { inner: Box::new(inner) }
    }

    /// Adds the cause.
    pub(crate) fn with_source(mut self, source: Option<Box<dyn StdError + Send + Sync>>) -> Self {
        self.inner.source = source;
        self
    }

    /// Records whether the content is gzip, and was not unzipped.
    pub(crate) fn with_kept_gzip(mut self, is_kept_gzip: bool) -> Self {
        self.inner.is_kept_gzip = is_kept_gzip;
        self
    }

    /// Returns what went wrong.
    pub fn fault(&self) -> DownloadFault {
        self.inner.fault
    }

    /// Returns how many bytes had been written. They must not be used.
    pub fn written(&self) -> u64 {
        self.inner.written
    }

    /// Returns the HTTP status, a 2xx.
    pub fn status(&self) -> StatusCode {
        self.inner.status
    }

    /// Returns the `Request-ID`, which WeChat Pay's support asks for.
    pub fn request_id(&self) -> Option<&str> {
        self.inner.request_id.as_deref()
    }

    /// Returns what to do.
    pub fn hint(&self) -> Cow<'static, str> {
        let what = match self.inner.fault {
            DownloadFault::WrongHash if self.inner.is_kept_gzip => {
                "the content is gzip: if the hash is that of the original file, set Gunzip::BeforeHash (feature gzip)"
            }
            DownloadFault::WrongHash => {
                "ask for a new download URL and hash, and try again; if it stays like this, something on the path \
                 changes the file, or the hash is that of another form of it"
            }
            DownloadFault::Truncated | DownloadFault::UnexpectedStatus => {
                "ask for a new download URL, and try again"
            }
            DownloadFault::TooLarge { .. } => {
                "raise Download::max_bytes if files of this size are expected"
            }
            DownloadFault::MalformedGzip => {
                "ask for a new download URL, and try again; or download the file without unzipping it"
            }
            DownloadFault::Stalled { .. } | DownloadFault::TimedOut { .. } => {
                "try again, with a new download URL after five minutes; if the network is slow, raise \
                 Download::read_timeout and Download::timeout"
            }
            DownloadFault::Writer => "see the cause, then try again",
        };
        match self.inner.written {
            0 => what.into(),
            _ => format!("what was written must not be used, discard it; {what}").into(),
        }
    }

    pub(super) fn may_retry(&self) -> bool {
        match self.inner.fault {
            DownloadFault::Truncated
            | DownloadFault::Stalled { .. }
            | DownloadFault::TimedOut { .. }
            | DownloadFault::WrongHash
            | DownloadFault::MalformedGzip
            | DownloadFault::UnexpectedStatus => !self.inner.is_kept_gzip,
            // The same limit and the same writer fail again.
            DownloadFault::TooLarge { .. } | DownloadFault::Writer => false,
        }
    }
}

impl fmt::Display for DownloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { call, status, request_id, fault, written, .. } = &*self.inner;
        write!(f, "{} answered {}, but {fault}", call.operation, status.as_u16())?;
        if *written > 0 {
            write!(f, " ({written} bytes were written)")?;
        }
        match request_id {
            Some(id) => write!(f, " [request-id {id}]"),
            None => Ok(()),
        }
    }
}

impl StdError for DownloadError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::error::delivery::{Delivery, Outcome};
    use crate::message::replay::Replay;

    const SECOND: Duration = Duration::from_secs(1);

    fn error(fault: DownloadFault, written: u64) -> DownloadError {
        let call = CallContext::first("bills.download", "h", Replay::Safe);
        DownloadError::new(call, StatusCode::OK, Some("08F7".into()), fault, written)
    }

    #[test]
    fn what_was_written_is_told_not_to_be_used() {
        for fault in [
            DownloadFault::WrongHash,
            DownloadFault::Truncated,
            DownloadFault::TooLarge { limit: 7 },
            DownloadFault::MalformedGzip,
            DownloadFault::Stalled { after: SECOND },
            DownloadFault::TimedOut { after: SECOND },
            DownloadFault::Writer,
            DownloadFault::UnexpectedStatus,
        ] {
            let (some, none) = (error(fault, 7), error(fault, 0));
            assert!(some.hint().starts_with("what was written must not be used"), "{fault:?}");
            assert!(!none.hint().contains("must not be used"), "{fault:?}");
            assert_eq!(
                some.to_string(),
                format!(
                    "bills.download answered 200, but {fault} (7 bytes were written) [request-id 08F7]"
                )
            );
            let error = Error::Download(some);
            assert_eq!((error.outcome(), error.delivery()), (Outcome::Unknown, Delivery::Unknown));
            let repeats = !matches!(fault, DownloadFault::TooLarge { .. } | DownloadFault::Writer);
            assert_eq!(error.may_retry(), repeats, "{fault:?}");
            assert!(!error.is_input());
            assert_eq!(error.request_id(), Some("08F7"));
        }
    }

    #[test]
    fn a_hash_of_gzip_says_what_to_set() {
        let kept = error(DownloadFault::WrongHash, 7).with_kept_gzip(true);
        assert!(kept.hint().contains("Gunzip::BeforeHash"), "{}", kept.hint());
        assert!(!Error::Download(kept).may_retry(), "it stays like this");
    }
}
