//! Why a request failed, and whether its credential is the cause.

use crate::error::KmsError;

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum RequestFailure {
    /// The credential is not accepted, or no longer: retry with another one.
    Credential(KmsError),
    /// Another credential would not help.
    Other(KmsError),
}

impl From<KmsError> for RequestFailure {
    fn from(error: KmsError) -> Self {
        Self::Other(error)
    }
}

impl From<RequestFailure> for KmsError {
    fn from(failure: RequestFailure) -> Self {
        match failure {
            RequestFailure::Credential(error) | RequestFailure::Other(error) => error,
        }
    }
}
