//! Why a request led to nothing, and whether its credential is to blame.

use crate::error::KmsError;

/// Says why a request led to nothing.
#[derive(Debug)]
pub(crate) enum RequestFailure {
    /// The credential is not, or no longer, taken: another one may be.
    Credential(KmsError),
    /// Another credential changes nothing.
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
