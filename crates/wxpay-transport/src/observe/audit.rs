//! Who signed what, for auditors.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use wxpay_auth::{Identity, SerialNo, Timestamp};

use crate::error::Error;
use crate::error::delivery::Outcome;
use crate::message::response::Response;

/// Gets a record of each request that was signed, whatever became of it.
///
/// It is called once for each attempt, when it has ended: also when its call was dropped in the middle,
/// and when the request was signed and then not sent. It runs within the call, so it should hand the record
/// on rather than wait for a disk; see the example `audit_log`.
///
/// A panic in it is caught and logged: the call ends as its last attempt ended.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `Audit`",
    label = "expected an implementation of your own",
    note = "the type is also `Debug + Send + Sync`"
)]
pub trait Audit: fmt::Debug + Send + Sync {
    /// Takes note of a signed request.
    fn record(&self, record: &AuditRecord<'_>);
}

impl<T: Audit + ?Sized> Audit for Arc<T> {
    fn record(&self, record: &AuditRecord<'_>) {
        (**self).record(record);
    }
}

/// Tells what was signed, by which key, and what became of it. There are no secrets in it: no signature, no
/// query, no body.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AuditRecord<'a> {
    /// When it was signed, in seconds, as the signed message says.
    pub signed_at: Timestamp,
    /// Who called: the `mchid`, or the `brand_id`.
    pub identity: &'a Identity,
    /// The serial of the certificate whose key signed it.
    pub serial_no: &'a SerialNo,
    /// What the call is named: `delivery_plans.terminate`.
    pub operation: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The path, without the query.
    pub path: &'a str,
    /// The host it was for, with its port when it is not the usual one.
    pub host: &'a str,
    /// Which attempt of its call it was, from 1.
    pub attempt: u32,
    /// What became of it.
    pub outcome: AuditOutcome,
    /// The HTTP status, where a response came back.
    pub status: Option<StatusCode>,
    /// The `Request-ID`, where a response came back.
    pub request_id: Option<&'a str>,
    /// How long the attempt took, connecting and signing included.
    pub took: Duration,
}

/// Says what became of a signed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditOutcome {
    /// A verified 2xx came back.
    Verified,
    /// WeChat Pay refused it.
    Rejected,
    /// Not a byte of it was sent.
    NotSent,
    /// It may have been carried out.
    Unknown,
}

impl AuditOutcome {
    /// Says what became of a call.
    pub(crate) fn of(ended: &Result<Response, Error>) -> Self {
        match ended.as_ref().map_err(Error::outcome) {
            Ok(_) => Self::Verified,
            Err(outcome) => outcome.into(),
        }
    }

    /// Returns its name in logs: `verified`, `rejected`, `not_sent` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Rejected => "rejected",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }
}

impl From<Outcome> for AuditOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Rejected => Self::Rejected,
            Outcome::NotSent => Self::NotSent,
            Outcome::Unknown => Self::Unknown,
        }
    }
}

impl fmt::Display for AuditOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
