//! The details of a failure, except its text.

use std::fmt;
use std::time::Duration;

use crate::signer::SignErrorKind;

/// The details that a [`SignError`](crate::SignError) and the error of a key service have in
/// common, so that one can be converted into the other without loss.
#[derive(Debug, Clone)]
pub struct FailureDetails {
    /// The kind of failure.
    pub kind: SignErrorKind,
    /// The error code of the service.
    pub code: Option<String>,
    /// The request id of the service.
    pub request_id: Option<String>,
    /// The id under which others can approve the request.
    pub approval_id: Option<String>,
    /// The wait that the service asks for.
    pub retry_after: Option<Duration>,
    /// What to do, if that is more specific than the kind.
    pub hint: Option<&'static str>,
}

impl FailureDetails {
    /// Creates the details of a failure of which only the kind is known.
    pub fn new(kind: SignErrorKind) -> Self {
        Self {
            kind,
            code: None,
            request_id: None,
            approval_id: None,
            retry_after: None,
            hint: None,
        }
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        self.hint.unwrap_or_else(|| self.kind.hint())
    }
}

/// Formats the code and the ids, to be appended to the text of an error.
impl fmt::Display for FailureDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = &self.code {
            write!(f, " ({code})")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " [request-id {id}]")?;
        }
        match &self.approval_id {
            Some(id) => write!(f, " [approval-id {id}]"),
            None => Ok(()),
        }
    }
}
