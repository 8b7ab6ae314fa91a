//! What a service says no to, and with which access key.

use wxpay_auth_core::SignErrorKind;

use super::error_codes::{Code, look_up};
use crate::credentials::cache::CredentialCache;
use crate::credentials::provider::Credentials;
use crate::error::KmsError;
use crate::http::client::{Response, kind_of_status};

/// Says why a request led to nothing.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The access key is not, or no longer, taken: another one may be.
    Credentials(KmsError),
    /// Another access key changes nothing.
    Other(KmsError),
}

impl From<KmsError> for Refusal {
    fn from(error: KmsError) -> Self {
        Self::Other(error)
    }
}

impl From<Refusal> for KmsError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Credentials(error) | Refusal::Other(error) => error,
        }
    }
}

impl CredentialCache {
    /// Makes a request, and once more when its access key is refused and there is another one: keys
    /// expire while requests are on their way.
    pub(crate) async fn with<T, F: Future<Output = Result<T, Refusal>>>(
        &self,
        request: impl Fn(Credentials) -> F,
    ) -> Result<T, KmsError> {
        let kept = self.current().await?;
        let refused = match request(kept.credentials().clone()).await {
            Ok(response) => {
                kept.prove();
                return Ok(response);
            }
            Err(Refusal::Other(error)) => return Err(error),
            Err(Refusal::Credentials(error)) => error,
        };
        tracing::debug!(error = %refused, "the access key is refused; asking for another one");
        let Some(other) = self.renewed(&kept).await? else { return Err(refused) };
        match request(other.credentials().clone()).await {
            Ok(response) => {
                other.prove();
                Ok(response)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}

/// The error in a response: the service's own code, message and request id.
pub(crate) fn refusal(
    service: &str,
    table: &[Code],
    response: &Response,
    (code, message, request_id): (&str, &str, Option<&str>),
    credentials: &Credentials,
) -> KmsError {
    // Some services explain a wrong signature with what was signed.
    let message = credentials.without_secrets(message);
    let (kind, hint) = match look_up(table, code) {
        Some((_, kind, hint)) => (*kind, *hint),
        // What lies before the service says something with the status, too.
        None => match kind_of_status(response.status) {
            kind if kind.is_transient() => (kind, None),
            _ => (SignErrorKind::Other, None),
        },
    };
    let mut error = KmsError::new(kind, format!("{service} refuses: {message}")).with_code(code);
    if let Some(request_id) = request_id {
        error = error.with_request_id(request_id);
    }
    if let Some(hint) = hint {
        error = error.with_hint(hint);
    }
    response.waiting(error)
}
