//! What is known of a failure beside its text.

use std::fmt;
use std::time::Duration;

use crate::signer::SignErrorKind;

/// Holds what a [`SignError`](crate::SignError) and the error of a key service tell programs, so that the one
/// takes it over from the other whole.
#[derive(Debug, Clone)]
pub struct FailureDetails {
    /// Its kind.
    pub kind: SignErrorKind,
    /// The service's own code.
    pub code: Option<String>,
    /// The request id of the service.
    pub request_id: Option<String>,
    /// The id under which others can approve what was asked for.
    pub approval_id: Option<String>,
    /// How long the service asks to wait.
    pub retry_after: Option<Duration>,
    /// What to do, where that is more than the kind says.
    pub hint: Option<&'static str>,
}

impl FailureDetails {
    /// Makes those of a failure of which nothing but the kind is known.
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

    /// Says what to do.
    pub fn hint(&self) -> &'static str {
        self.hint.unwrap_or_else(|| self.kind.hint())
    }
}

/// Writes the code and the ids, as they stand behind the text of an error.
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
