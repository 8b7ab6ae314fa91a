//! What can go wrong with a call about delivery plans.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use thiserror::Error;
use wxpay_auth::write_report;
use wxpay_transport::{ConfigError, Delivery, Outcome, RequestError};

use crate::plan_id::PlanIdError;

/// Says why a call about delivery plans did not succeed.
///
/// Ask [`outcome`](Error::outcome) first: only [`Outcome::Rejected`] and [`Outcome::NotSent`] mean
/// that nothing was done.
#[derive(Error)]
#[non_exhaustive]
pub enum Error {
    /// The id of the plan cannot be one. Nothing was sent.
    #[error(transparent)]
    PlanId(#[from] PlanIdError),
    /// The transport did not bring a verified 2xx response back.
    #[error(transparent)]
    Transport(#[from] wxpay_transport::Error),
    /// A verified 2xx response came back that is not the documented one.
    #[error(transparent)]
    UnexpectedStatus(#[from] UnexpectedStatusError),
}

impl Error {
    /// Says what became of the call.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::PlanId(_) => Outcome::NotSent,
            Self::Transport(e) => e.outcome(),
            Self::UnexpectedStatus(_) => Outcome::Unknown,
        }
    }

    /// Says whether the request reached WeChat Pay.
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::PlanId(_) => Delivery::NotSent,
            Self::Transport(e) => e.delivery(),
            Self::UnexpectedStatus(_) => Delivery::Answered,
        }
    }

    /// Tells whether the same call may be sent again, after a wait, without the danger of doing it
    /// twice; see [`wxpay_transport::Error::may_retry`].
    pub fn may_retry(&self) -> bool {
        match self {
            Self::PlanId(_) | Self::UnexpectedStatus(_) => false,
            Self::Transport(e) => e.may_retry(),
        }
    }

    /// Tells whether what was asked for is at fault, and nothing was done: the id cannot be one, or WeChat Pay
    /// refused the call for what it says; see [`wxpay_transport::Error::is_input`].
    ///
    /// ```
    /// use wxpay_marketing::{Error, PlanId};
    ///
    /// /// What a handler of one's own answers.
    /// fn status(error: &Error) -> u16 {
    ///     if error.is_input() { 400 } else { 503 }
    /// }
    ///
    /// let error = Error::from(PlanId::new("12 000").unwrap_err());
    /// assert_eq!(status(&error), 400);
    /// ```
    pub fn is_input(&self) -> bool {
        match self {
            Self::PlanId(_) => true,
            Self::Transport(e) => e.is_input(),
            Self::UnexpectedStatus(_) => false,
        }
    }

    /// Returns the `Request-ID`, where a response came back: WeChat Pay's support asks for it.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::PlanId(_) => None,
            Self::Transport(e) => e.request_id(),
            Self::UnexpectedStatus(e) => e.request_id(),
        }
    }

    /// Returns the response that refused the call, where there is one.
    pub fn api(&self) -> Option<&wxpay_transport::ApiError> {
        match self {
            Self::Transport(wxpay_transport::Error::Api(e)) => Some(e),
            _ => None,
        }
    }

    /// Says what to do.
    pub fn hint(&self) -> Cow<'static, str> {
        match self {
            Self::PlanId(e) => e.hint().into(),
            Self::Transport(e) => e.hint(),
            Self::UnexpectedStatus(e) => e.hint().into(),
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

/// Holds a verified 2xx response that the documentation of the call does not know.
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
    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or_default()
    }

    /// Returns the `Request-ID`.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Says what to do.
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

/// It is one line, with what caused the error and what to do: `main` prints it so.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, &self.hint())
    }
}

/// It is one line, with what to do.
impl fmt::Debug for UnexpectedStatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, self.hint())
    }
}

#[cfg(test)]
mod tests {
    use wxpay_transport::{BaseUrl, Target};

    use super::*;

    /// A function that sets a client up and calls it needs one error type.
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
