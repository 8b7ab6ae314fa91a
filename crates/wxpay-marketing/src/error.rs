//! Errors of calls on delivery plans.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use thiserror::Error;
use wxpay_auth::write_report;
use wxpay_transport::{BodyError, ConfigError, Delivery, Outcome, RequestError};

use crate::foreign_response_error::ForeignResponseError;
use crate::incomplete_list_error::IncompleteListError;
use crate::input_error::InputError;
use crate::lookup_error::{LookupError, PlanNotFoundError};
use crate::plan_id::PlanIdError;

/// Why a call on delivery plans did not succeed.
///
/// Check [`outcome`](Error::outcome) first: only [`Outcome::Rejected`] and [`Outcome::NotSent`] mean
/// that nothing was done.
#[derive(Error)]
#[non_exhaustive]
pub enum Error {
    /// The plan id is invalid. Nothing was sent.
    #[error(transparent)]
    PlanId(#[from] PlanIdError),
    /// The request breaks a documented rule. Nothing was sent.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The transport did not return a verified 2xx response.
    #[error(transparent)]
    Transport(#[from] wxpay_transport::Error),
    /// A verified 2xx response is not the documented one.
    #[error(transparent)]
    UnexpectedStatus(#[from] UnexpectedStatusError),
    /// The body of a verified response is not of the documented form. A change was carried out.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A verified response is about another plan or brand. A change may have been carried out.
    #[error(transparent)]
    ForeignResponse(#[from] ForeignResponseError),
    /// A list ended before it was complete.
    #[error(transparent)]
    IncompleteList(#[from] IncompleteListError),
    /// The brand has no such plan. Nothing was sent but queries.
    #[error(transparent)]
    PlanNotFound(#[from] PlanNotFoundError),
    /// The plan could not be looked up before its termination. Nothing was sent but queries.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

impl Error {
    /// Returns what became of the call.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::PlanId(_) | Self::Input(_) | Self::PlanNotFound(_) | Self::Lookup(_) => {
                Outcome::NotSent
            }
            Self::Transport(e) => e.outcome(),
            Self::UnexpectedStatus(_)
            | Self::Body(_)
            | Self::ForeignResponse(_)
            | Self::IncompleteList(_) => Outcome::Unknown,
        }
    }

    /// Returns whether the request reached WeChat Pay.
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::PlanId(_) | Self::Input(_) | Self::PlanNotFound(_) | Self::Lookup(_) => {
                Delivery::NotSent
            }
            Self::Transport(e) => e.delivery(),
            Self::UnexpectedStatus(_)
            | Self::Body(_)
            | Self::ForeignResponse(_)
            | Self::IncompleteList(_) => Delivery::Answered,
        }
    }

    /// Returns whether the same call may be sent again, after a wait, without the risk of carrying it out
    /// twice; see [`wxpay_transport::Error::may_retry`].
    pub fn may_retry(&self) -> bool {
        match self {
            Self::PlanId(_)
            | Self::Input(_)
            | Self::UnexpectedStatus(_)
            | Self::Body(_)
            | Self::PlanNotFound(_) => false,
            Self::Transport(e) => e.may_retry(),
            Self::ForeignResponse(e) => e.is_query(),
            Self::IncompleteList(_) => true,
            Self::Lookup(e) => e.error().may_retry(),
        }
    }

    /// Returns whether the input is at fault, and nothing was done: the id is invalid, or WeChat Pay refused the
    /// content of the call; see [`wxpay_transport::Error::is_input`].
    ///
    /// ```
    /// use wxpay_marketing::{Error, PlanId};
    ///
    /// /// Status that an application's handler responds with.
    /// fn status(error: &Error) -> u16 {
    ///     if error.is_input() { 400 } else { 503 }
    /// }
    ///
    /// let error = Error::from(PlanId::new("12 000").unwrap_err());
    /// assert_eq!(status(&error), 400);
    /// ```
    pub fn is_input(&self) -> bool {
        match self {
            Self::PlanId(_) | Self::Input(_) | Self::PlanNotFound(_) => true,
            Self::Transport(e) => e.is_input(),
            Self::Lookup(e) => e.error().is_input(),
            Self::UnexpectedStatus(_)
            | Self::Body(_)
            | Self::ForeignResponse(_)
            | Self::IncompleteList(_) => false,
        }
    }

    /// Returns the `Request-ID`, if a response arrived. WeChat Pay's support asks for it.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::PlanId(_)
            | Self::Input(_)
            | Self::ForeignResponse(_)
            | Self::IncompleteList(_)
            | Self::PlanNotFound(_) => None,
            Self::Transport(e) => e.request_id(),
            Self::UnexpectedStatus(e) => e.request_id(),
            Self::Body(e) => e.request_id(),
            Self::Lookup(e) => e.error().request_id(),
        }
    }

    /// Returns the response that refused the call, if there is one.
    pub fn api(&self) -> Option<&wxpay_transport::ApiError> {
        match self {
            Self::Transport(wxpay_transport::Error::Api(e)) => Some(e),
            Self::Lookup(e) => e.error().api(),
            _ => None,
        }
    }

    /// Returns what to do.
    pub fn hint(&self) -> Cow<'static, str> {
        match self {
            Self::PlanId(e) => e.hint().into(),
            Self::Input(e) => e.hint().into(),
            Self::Transport(e) => e.hint(),
            Self::UnexpectedStatus(e) => e.hint().into(),
            Self::Body(e) => e.hint().into(),
            Self::ForeignResponse(e) => e.hint().into(),
            Self::IncompleteList(e) => e.hint().into(),
            Self::PlanNotFound(e) => e.hint().into(),
            Self::Lookup(e) => e.hint(),
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Transport(error.into())
    }
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        Self::Transport(error.into())
    }
}

/// A verified 2xx response with an undocumented status.
#[derive(Error)]
#[error("{operation} answered {status}, {expected} was expected{}",
    request_id.as_ref().map(|id| format!(" [request-id {id}]")).unwrap_or_default())]
pub struct UnexpectedStatusError {
    pub(crate) operation: &'static str,
    pub(crate) status: u16,
    pub(crate) expected: u16,
    pub(crate) request_id: Option<String>,
}

impl UnexpectedStatusError {
    /// Creates the error of an operation, from the status of its response and the documented one.
    pub fn new(operation: &'static str, status: StatusCode, expected: StatusCode) -> Self {
        let (status, expected) = (status.as_u16(), expected.as_u16());
        Self { operation, status, expected, request_id: None }
    }

    /// Adds the `Request-ID`.
    #[must_use]
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = Some(request_id.into());
        self
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or_default()
    }

    /// Returns the `Request-ID`.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self.status {
            202 => {
                "WeChat Pay has accepted the call and not finished it: read the state until it is \
                 final, before sending it again"
            }
            _ => {
                "read the state before sending it again: what this response means is not documented"
            }
        }
    }
}

/// Prints one line with the causes and the hint, so that a `main` that returns the error shows them.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, &self.hint())
    }
}

/// Prints one line with the hint.
impl fmt::Debug for UnexpectedStatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, self.hint())
    }
}

#[cfg(test)]
mod tests {
    use wxpay_transport::{BaseUrl, Target};

    use super::*;

    /// A function that builds a client and calls it needs only one error type.
    fn all_in_one(url: &str, path: &str) -> Result<(), Error> {
        let (_, _) = (BaseUrl::new(url)?, Target::new(path)?);
        Ok(())
    }

    #[test]
    fn errors_of_the_transport_become_this_one() {
        assert!(all_in_one("https://api.mch.weixin.qq.com", "/v3/x").is_ok());
        let error = all_in_one("ftp://api.mch.weixin.qq.com", "/v3/x").unwrap_err();
        assert!(matches!(error, Error::Transport(wxpay_transport::Error::Config(_))), "{error:?}");
        assert!(!error.is_input());
        let error = all_in_one("https://api.mch.weixin.qq.com", "v3/x").unwrap_err();
        assert!(matches!(error, Error::Transport(wxpay_transport::Error::Request(_))), "{error:?}");
        assert!(error.is_input());
    }
}
