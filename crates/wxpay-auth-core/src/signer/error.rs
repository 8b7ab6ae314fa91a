//! Errors of signers.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use crate::remote::FailureDetails;
use crate::text::debug_as_report;

/// The kind of a [`SignError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignErrorKind {
    /// The signer is not set up correctly.
    Configuration,
    /// The key does not exist.
    KeyNotFound,
    /// The caller may not use the key.
    PermissionDenied,
    /// The signature must be approved first.
    ApprovalPending,
    /// Too many signatures were requested at once.
    Throttled,
    /// The signer cannot be reached.
    Unavailable,
    /// The signer took too long.
    Timeout,
    /// The session with the token was lost, and could not be restored.
    SessionLost,
    /// The returned signature does not verify.
    InvalidSignature,
    /// The signer does not support signatures of this kind.
    Unsupported,
    /// Any other kind.
    Other,
}

impl SignErrorKind {
    /// Returns whether the same call may succeed a little later, without any change.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable | Self::Timeout | Self::SessionLost)
    }

    /// Returns what to do.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Configuration => "check the settings of the signer",
            Self::KeyNotFound => "check which key the signer is told to use, and that it exists",
            Self::PermissionDenied => "give this caller the right to sign with the key",
            Self::ApprovalPending => {
                "have the signature approved (see its approval_id), then sign the same message again"
            }
            Self::Throttled => "sign less at once, or ask for a higher limit; then try again",
            Self::Unavailable => "check that the signer can be reached; then try again",
            Self::Timeout => "check the load of the signer; then try again",
            Self::SessionLost => "check that the token is there and logged in; then try again",
            Self::InvalidSignature => {
                "the signer returned a signature that does not fit the key: check its algorithm \
                 (RSASSA-PKCS1-v1_5 with SHA-256) and which version of the key it uses"
            }
            Self::Unsupported => "use an RSA key of 2048 bits that may sign",
            Self::Other => "see the message and the source of the error",
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::KeyNotFound => "key not found",
            Self::PermissionDenied => "permission denied",
            Self::ApprovalPending => "approval pending",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::SessionLost => "session lost",
            Self::InvalidSignature => "invalid signature",
            Self::Unsupported => "unsupported",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for SignErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a signer failed. Nothing has been sent to WeChat Pay.
///
/// Implementations of [`Signer`](crate::Signer) create it, and must keep secrets (PINs, tokens, keys)
/// out of its message.
pub struct SignError(Box<Parts>);

struct Parts {
    details: FailureDetails,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl SignError {
    /// Creates an error. The message is lower case, one line, and contains no secret.
    pub fn new(kind: SignErrorKind, message: impl Into<String>) -> Self {
        Self::with_details(FailureDetails::new(kind), message.into())
    }

    pub(crate) fn with_details(details: FailureDetails, message: String) -> Self {
        Self(Box::new(Parts { details, message, source: None }))
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds the error code of the key service.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.details.code = Some(code.into());
        self
    }

    /// Adds the request id of the key service.
    #[must_use]
    pub fn with_request_id(mut self, request_id: impl Into<String>) -> Self {
        self.0.details.request_id = Some(request_id.into());
        self
    }

    /// Adds the id under which the signature can be approved.
    #[must_use]
    pub fn with_approval_id(mut self, approval_id: impl Into<String>) -> Self {
        self.0.details.approval_id = Some(approval_id.into());
        self
    }

    /// Adds how long the key service asks to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.details.retry_after = Some(wait);
        self
    }

    /// Sets a hint that is more specific than that of the kind.
    #[must_use]
    pub fn with_hint(mut self, hint: &'static str) -> Self {
        self.0.details.hint = Some(hint);
        self
    }

    /// Returns its kind.
    pub fn kind(&self) -> SignErrorKind {
        self.0.details.kind
    }

    /// Returns the error code of the key service, if there is one.
    pub fn code(&self) -> Option<&str> {
        self.0.details.code.as_deref()
    }

    /// Returns the request id of the key service, if there is one.
    pub fn request_id(&self) -> Option<&str> {
        self.0.details.request_id.as_deref()
    }

    /// Returns the id under which the signature can be approved, if approval is required.
    pub fn approval_id(&self) -> Option<&str> {
        self.0.details.approval_id.as_deref()
    }

    /// Returns how long the key service asks to wait, if it does.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.details.retry_after
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        self.0.details.hint()
    }
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { details, message, .. } = &*self.0;
        write!(f, "signing failed ({}): {message}{details}", details.kind)
    }
}

impl StdError for SignError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

debug_as_report!(SignError);
