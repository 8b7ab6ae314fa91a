//! What comes back when all is well.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use wxpay_auth::Verified;

/// Holds a 2xx answer whose signature was verified.
#[derive(Debug, Clone)]
pub struct Answer {
    status: StatusCode,
    request_id: Option<String>,
    host: Arc<str>,
    retry_after: Option<Duration>,
    body: Verified<Bytes>,
}

impl Answer {
    /// Joins a verified body with the status, the `Request-ID` and the host it came with, which no
    /// signature covers. For transports of one's own.
    pub fn new(
        status: StatusCode,
        request_id: Option<String>,
        host: impl Into<Arc<str>>,
        body: Verified<Bytes>,
    ) -> Self {
        Self { status, request_id, host: host.into(), retry_after: None, body }
    }

    /// Adds how long the answer asks to wait (`Retry-After`), as a 202 may.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// Returns the HTTP status, a 2xx.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the `Request-ID`, which WeChat Pay's support asks for.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Returns the host that answered, with its port when it is not the usual one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns how long the answer asks to wait (`Retry-After`), as a 202 may.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the verified body; it is empty with 204.
    pub fn body(&self) -> &Verified<Bytes> {
        &self.body
    }
}
