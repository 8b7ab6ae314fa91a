//! The record of an attempt that ended or was dropped.

use http::StatusCode;
use tokio::time::Instant;
use wxpay_auth::Identity;

use crate::call::progress::Progress;
use crate::error::delivery::Delivery;
use crate::error::{CallContext, Error};
use crate::message::downloaded::Downloaded;
use crate::message::request::Request;
use crate::message::response::Response;
use crate::observe::audit::{Audit, AuditOutcome, AuditRecord};
use crate::observe::{log, telemetry};
use crate::panics::caught;

/// Reports an attempt once to logs, metrics and audit: when it ends, or when it is dropped.
pub(crate) struct AttemptRecord<'a> {
    identity: &'a Identity,
    audit: Option<&'a dyn Audit>,
    call: &'a CallContext,
    request: &'a Request,
    progress: &'a Progress,
    begun: Instant,
    is_told: bool,
}

#[derive(Clone, Copy)]
struct Ended<'a> {
    outcome: AuditOutcome,
    status: Option<StatusCode>,
    request_id: Option<&'a str>,
}

impl<'a> AttemptRecord<'a> {
    pub(crate) fn begin(
        identity: &'a Identity,
        audit: Option<&'a dyn Audit>,
        call: &'a CallContext,
        request: &'a Request,
        progress: &'a Progress,
    ) -> Self {
        Self { identity, audit, call, request, progress, begun: Instant::now(), is_told: false }
    }

    /// Reports the result of the attempt.
    pub(crate) fn end(mut self, ended: &Result<Response, Error>) {
        self.is_told = true;
        self.tell(Ended::of(ended), false);
    }

    /// Reports the result of a download.
    pub(crate) fn end_download(mut self, ended: &Result<Downloaded, Error>) {
        self.is_told = true;
        self.tell(Ended::of_download(ended), false);
    }

    fn tell(&self, ended: Ended<'_>, was_dropped: bool) {
        let Ended { outcome, status, request_id } = ended;
        let took = self.begun.elapsed();
        log::debug!(
            attempt = self.call.attempt,
            host = &*self.call.host,
            status = status.map(|status| status.as_u16()),
            request_id,
            %outcome,
            ?took,
            was_dropped,
            "an attempt ended",
        );
        telemetry::attempt(self.call, outcome, self.progress.since_sending());
        let (Some(audit), Some(signed_by)) = (self.audit, self.progress.signed_by()) else {
            return;
        };
        let record = AuditRecord {
            signed_at: signed_by.signed_at,
            identity: self.identity,
            serial_no: &signed_by.serial_no,
            operation: &self.call.operation,
            method: self.request.method(),
            path: self.request.target().path(),
            host: &self.call.host,
            attempt: self.call.attempt,
            outcome,
            status,
            request_id,
            took,
        };
        // The outcome is known already; and this drop may run while another panic unwinds.
        let _ = caught("Audit", || audit.record(&record));
    }
}

impl<'a> Ended<'a> {
    fn of(ended: &'a Result<Response, Error>) -> Self {
        match ended {
            Ok(response) => Self {
                outcome: AuditOutcome::Verified,
                status: Some(response.status()),
                request_id: response.request_id(),
            },
            Err(error) => Self::failed(error),
        }
    }

    fn of_download(ended: &'a Result<Downloaded, Error>) -> Self {
        match ended {
            Ok(file) => Self {
                outcome: AuditOutcome::Downloaded,
                status: Some(StatusCode::OK),
                request_id: file.request_id(),
            },
            Err(error) => Self::failed(error),
        }
    }

    fn failed(error: &'a Error) -> Self {
        Self {
            outcome: error.last_outcome().into(),
            status: error.status(),
            request_id: error.request_id(),
        }
    }

    /// Returns what is known of an attempt whose call was dropped.
    fn dropped(progress: &Progress) -> Self {
        let outcome = match progress.delivery() {
            Delivery::NotSent => AuditOutcome::NotSent,
            Delivery::Answered | Delivery::Unknown => AuditOutcome::Unknown,
        };
        Self { outcome, status: None, request_id: None }
    }
}

impl Drop for AttemptRecord<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.tell(Ended::dropped(self.progress), true);
        }
    }
}
