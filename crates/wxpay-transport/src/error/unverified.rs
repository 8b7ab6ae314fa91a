//! 2xx responses that cannot be trusted.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;
use wxpay_auth::VerifyError;

use super::call_context::CallContext;

/// Why a 2xx response cannot be trusted.
#[derive(Debug)]
#[non_exhaustive]
pub enum UnverifiedCause {
    /// It is not signed, or its signature was not accepted.
    Signature(VerifyError),
    /// Its signature was accepted, but it belongs to another request
    /// ([`Request::recognised_by`](crate::Request::recognised_by)).
    Foreign,
    /// Its body has a coding that was not requested, so something on the path changed it: a signature covers
    /// the plain body.
    #[non_exhaustive]
    Encoded {
        /// The coding, as in `Content-Encoding`, such as `gzip`.
        coding: String,
        /// Why its signature was not accepted.
        source: VerifyError,
    },
    /// Its body ended too early.
    Truncated,
    /// Its body is larger than the limit.
    #[non_exhaustive]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

/// A 2xx response cannot be trusted. Whether the call was carried out is unknown; after a signature
/// probe, for instance, it was.
#[derive(Debug)]
pub struct UnverifiedError {
    pub(super) call: Box<CallContext>,
    status: StatusCode,
    request_id: Option<String>,
    cause: Box<UnverifiedCause>,
    clock_offset: Option<i64>,
}

impl UnverifiedCause {
    /// Returns the cause of a body larger than this many bytes.
    pub fn too_large(limit: usize) -> Self {
        Self::TooLarge { limit }
    }

    /// Returns the cause of a signature that was not accepted; `coding` is that of the body
    /// (`Content-Encoding`), if it has one.
    pub fn of_signature(error: VerifyError, coding: Option<String>) -> Self {
        match (error, coding) {
            // The other errors do not depend on the body.
            (
                source @ (VerifyError::Mismatch { .. } | VerifyError::MissingHeader { .. }),
                Some(coding),
            ) => Self::Encoded { coding, source },
            (error, _) => Self::Signature(error),
        }
    }
}

impl UnverifiedError {
    /// Creates an error from the cause; `clock_offset` is how many seconds the server's `Date` is ahead of the
    /// local clock. For custom transports.
    pub fn new(
        call: CallContext,
        status: StatusCode,
        request_id: Option<String>,
        clock_offset: Option<i64>,
        cause: UnverifiedCause,
    ) -> Self {
        Self { call: Box::new(call), status, request_id, cause: Box::new(cause), clock_offset }
    }

    /// Returns the HTTP status, a 2xx.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the `Request-ID` of the response, which cannot be trusted either.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Returns why it cannot be trusted.
    pub fn cause(&self) -> &UnverifiedCause {
        &self.cause
    }

    /// Returns how many seconds the server's `Date` is ahead of the local clock.
    pub fn clock_offset(&self) -> Option<i64> {
        self.clock_offset
    }

    /// Returns what to do.
    pub fn hint(&self) -> Cow<'static, str> {
        let ask = self.call.ask();
        match &*self.cause {
            UnverifiedCause::Signature(e) => format!("{ask}; {}", e.hint()).into(),
            UnverifiedCause::Foreign => format!(
                "{ask}; find out what responds to a request with the response to another one: a proxy, \
                 or something else on the path to WeChat Pay"
            )
            .into(),
            UnverifiedCause::Encoded { .. } => format!(
                "{ask}; a proxy or gateway encodes bodies, which invalidates their signatures: have it pass \
                 bodies on unchanged"
            )
            .into(),
            UnverifiedCause::Truncated => ask.into(),
            UnverifiedCause::TooLarge { .. } => {
                format!("{ask}; raise the limit if responses of this size are expected").into()
            }
        }
    }
}

impl fmt::Display for UnverifiedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered {}, ", self.call.operation, self.status.as_u16())?;
        match &*self.cause {
            UnverifiedCause::Signature(VerifyError::MissingHeader { .. }) => {
                f.write_str("and it is not signed")?;
            }
            UnverifiedCause::Signature(_) => f.write_str("and its signature was not accepted")?,
            UnverifiedCause::Foreign => f.write_str("and it answers another request")?,
            UnverifiedCause::Encoded { coding, .. } => {
                write!(f, "and something on the path changed the coding of its body ({coding})")?;
            }
            UnverifiedCause::Truncated => f.write_str("and its body ended too early")?,
            UnverifiedCause::TooLarge { limit } => {
                write!(f, "and its body is larger than {limit} bytes")?;
            }
        }
        match &self.request_id {
            Some(id) => write!(f, " [request-id {id}]"),
            None => Ok(()),
        }
    }
}

impl StdError for UnverifiedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.cause {
            UnverifiedCause::Signature(e) | UnverifiedCause::Encoded { source: e, .. } => Some(e),
            UnverifiedCause::Foreign
            | UnverifiedCause::Truncated
            | UnverifiedCause::TooLarge { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::message::replay::Replay;

    fn error(cause: VerifyError) -> UnverifiedError {
        let call = CallContext::first("delivery_plans.list", "h", Replay::Safe);
        let cause = UnverifiedCause::of_signature(cause, None);
        UnverifiedError::new(call, StatusCode::OK, Some("08F7".into()), None, cause)
    }

    #[tokio::test]
    async fn a_response_without_a_signature_is_not_said_to_have_one() {
        let unsigned = error(missing_header().await);
        assert_eq!(
            unsigned.to_string(),
            "delivery_plans.list answered 200, and it is not signed [request-id 08F7]"
        );
        let refused = error(VerifyError::unsupported_algorithm());
        assert_eq!(
            refused.to_string(),
            "delivery_plans.list answered 200, and its signature was not accepted [request-id 08F7]"
        );
    }

    /// This is what `main` prints when it returns the error.
    #[test]
    fn an_error_is_one_line_with_cause_and_hint() {
        let error = Error::Unverified(error(VerifyError::unsupported_algorithm()));
        let line = format!("{error}: {}; {}", VerifyError::unsupported_algorithm(), error.hint());
        let boxed: Box<dyn StdError> = error.into();
        assert_eq!(format!("{boxed:?}"), line);
        assert_eq!(format!("{boxed:#?}").lines().count(), 1);
    }

    /// Returns the error for a response without headers.
    async fn missing_header() -> VerifyError {
        let ring = wxpay_auth::KeyRing::new();
        let now = || wxpay_auth::Timestamp::from_unix_secs(1);
        let headers = http::HeaderMap::new();
        let verified = wxpay_auth::verify_response(&ring, &now, &headers, "");
        verified.await.unwrap_err()
    }
}
