//! Audit records of signed requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use wxpay_auth::{Identity, SerialNo, Timestamp};

use crate::error::Error;
use crate::error::delivery::Outcome;
use crate::message::downloaded::Downloaded;
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
///
/// With `serde` it is written flat, with the caller as `mchid` or `brand_id`, and `took_ms`:
///
/// ```
/// use wxpay_transport::{Audit, AuditRecord};
///
/// #[derive(Debug)]
/// struct Lines;
///
/// impl Audit for Lines {
///     fn record(&self, record: &AuditRecord<'_>) {
///         if let Ok(line) = serde_json::to_string(record) {
///             println!("{line}");
///         }
///     }
/// }
/// ```
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

impl Serialize for AuditRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut record = serializer.serialize_struct("AuditRecord", 12)?;
        record.serialize_field("signed_at", &self.signed_at.as_unix_secs())?;
        record.serialize_field(self.identity.parameter(), self.identity.value())?;
        record.serialize_field("serial_no", self.serial_no.as_str())?;
        record.serialize_field("operation", self.operation)?;
        record.serialize_field("method", self.method.as_str())?;
        record.serialize_field("path", self.path)?;
        record.serialize_field("host", self.host)?;
        record.serialize_field("attempt", &self.attempt)?;
        record.serialize_field("outcome", &self.outcome)?;
        record.serialize_field("status", &self.status.map(|status| status.as_u16()))?;
        record.serialize_field("request_id", &self.request_id)?;
        let took_ms = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        record.serialize_field("took_ms", &took_ms)?;
        record.end()
    }
}

/// The outcome of a signed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuditOutcome {
    /// A verified 2xx response arrived.
    Verified,
    /// A file arrived whole, and its hash is the expected one. WeChat Pay does not sign files.
    Downloaded,
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

    /// Returns the outcome of a download.
    pub(crate) fn of_download(ended: &Result<Downloaded, Error>) -> Self {
        match ended.as_ref().map_err(Error::outcome) {
            Ok(_) => Self::Downloaded,
            Err(outcome) => outcome.into(),
        }
    }

    /// Returns its name in logs: `verified`, `downloaded`, `rejected`, `not_sent` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Downloaded => "downloaded",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_written_flat_with_the_official_names() {
        let identity = Identity::from(wxpay_auth::Mchid::new("1900007291").unwrap());
        let serial_no = "5F1C72E2A8931B72A2E13AF8DEE92471EB397115".parse().unwrap();
        let mut record = AuditRecord {
            signed_at: Timestamp::from_unix_secs(1_722_850_421),
            identity: &identity,
            serial_no: &serial_no,
            operation: "delivery_plans.terminate",
            method: &Method::POST,
            path: "/v3/x",
            host: "api.mch.weixin.qq.com",
            attempt: 2,
            outcome: AuditOutcome::NotSent,
            status: Some(StatusCode::NO_CONTENT),
            request_id: Some("08F7"),
            took: Duration::from_micros(1999),
        };
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            "{\"signed_at\":1722850421,\"mchid\":\"1900007291\",\
             \"serial_no\":\"5F1C72E2A8931B72A2E13AF8DEE92471EB397115\",\
             \"operation\":\"delivery_plans.terminate\",\"method\":\"POST\",\"path\":\"/v3/x\",\
             \"host\":\"api.mch.weixin.qq.com\",\"attempt\":2,\"outcome\":\"not_sent\",\
             \"status\":204,\"request_id\":\"08F7\",\"took_ms\":1}"
        );
        let brand = Identity::from(wxpay_auth::BrandId::new("1004").unwrap());
        (record.identity, record.status, record.request_id) = (&brand, None, None);
        let written = serde_json::to_value(&record).unwrap();
        assert_eq!(written["brand_id"], "1004");
        assert!(written["status"].is_null() && written["request_id"].is_null());
    }
}
