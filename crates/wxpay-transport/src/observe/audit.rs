//! Audit records of signed requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use wxpay_auth::{Identity, SerialNo, Timestamp};

use crate::error::Error;
use crate::error::delivery::Outcome;
use crate::message::response::Response;

/// Receives a record of each signed request, whatever its outcome.
///
/// Called once for each attempt, when it has ended: also when its call was dropped before that, and when
/// the request was signed but not sent. It runs within the call, so it should pass the record on rather
/// than wait for a disk; see the example `audit_log`.
///
/// A panic in it is caught and logged: the call ends with the result of its last attempt.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `Audit`",
    label = "expected an implementation of your own",
    note = "the type is also `Debug + Send + Sync`"
)]
pub trait Audit: fmt::Debug + Send + Sync {
    /// Records a signed request.
    fn record(&self, record: &AuditRecord<'_>);
}

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        impl<A: Audit + ?Sized> Audit for $pointer {
            fn record(&self, record: &AuditRecord<'_>) {
                (**self).record(record);
            }
        }
    )+};
}

forward!(&A, Arc<A>, Box<A>);

/// What was signed, by which key, and the outcome. Contains no secrets: no signature, no query, no
/// body.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AuditRecord<'a> {
    /// The timestamp in the signed message, in seconds.
    pub signed_at: Timestamp,
    /// The caller: the `mchid`, or the `brand_id`.
    pub identity: &'a Identity,
    /// The serial of the certificate of the signing key.
    pub serial_no: &'a SerialNo,
    /// The operation, such as `delivery_plans.terminate`.
    pub operation: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The path, without the query.
    pub path: &'a str,
    /// The host it was sent to, with its port unless it is the default.
    pub host: &'a str,
    /// The number of the attempt within its call, from 1.
    pub attempt: u32,
    /// The outcome.
    pub outcome: AuditOutcome,
    /// The HTTP status, if a response arrived.
    pub status: Option<StatusCode>,
    /// The `Request-ID`, if a response arrived.
    pub request_id: Option<&'a str>,
    /// The duration of the attempt, including connecting and signing.
    pub took: Duration,
}

/// The outcome of a signed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuditOutcome {
    /// A verified 2xx response arrived.
    Verified,
    /// WeChat Pay refused it.
    Rejected,
    /// Not a byte of it was sent.
    NotSent,
    /// It may have been carried out.
    Unknown,
}

impl AuditOutcome {
    /// Returns the outcome of a call.
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
