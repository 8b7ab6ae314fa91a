//! Errors of key services.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wxpay_auth_core::internal::debug_as_report;
use wxpay_auth_core::internal::remote::{FailureDetails, sign_error};
use wxpay_auth_core::{
    FieldDecryptError, KeyError, SerialNo, SignError, SignErrorKind, foreign_text,
};

/// An error of a key service. Nothing has been sent to WeChat Pay when it occurs.
///
/// Implementations of [`KmsBackend`](super::KmsBackend) create it, and must keep secrets out of its
/// texts.
#[derive(Clone)]
pub struct KmsError(Box<Parts>);

#[derive(Clone)]
struct Parts {
    details: FailureDetails,
    message: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// Longer than the messages of services; the page of a proxy may exceed it.
const MAX_TEXT: usize = 300;

impl KmsError {
    /// Creates an error. The message is reduced to one line of at most 300 characters, because it
    /// may come from the service.
    pub fn new(kind: SignErrorKind, message: impl AsRef<str>) -> Self {
        let details = FailureDetails::new(kind);
        Self(Box::new(Parts { details, message: one_line(message.as_ref()), source: None }))
    }

    /// Adds the error code of the service, such as `RequestLimitExceeded`.
    #[must_use]
    pub fn with_code(mut self, code: impl AsRef<str>) -> Self {
        self.0.details.code = Some(one_line(code.as_ref()));
        self
    }

    /// Adds the request id of the service.
    #[must_use]
    pub fn with_request_id(mut self, request_id: impl AsRef<str>) -> Self {
        self.0.details.request_id = Some(one_line(request_id.as_ref()));
        self
    }

    /// Adds the id under which others can approve the request.
    #[must_use]
    pub fn with_approval_id(mut self, approval_id: impl AsRef<str>) -> Self {
        self.0.details.approval_id = Some(one_line(approval_id.as_ref()));
        self
    }

    /// Adds the wait that the service asks for.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.details.retry_after = Some(wait);
        self
    }

    /// Adds what to do, if that is more specific than the kind.
    #[must_use]
    pub fn with_hint(mut self, hint: &'static str) -> Self {
        self.0.details.hint = Some(hint);
        self
    }

    /// Adds the source of the error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// Returns the kind of error.
    pub fn kind(&self) -> SignErrorKind {
        self.0.details.kind
    }

    /// Returns the error code of the service, if any.
    pub fn code(&self) -> Option<&str> {
        self.0.details.code.as_deref()
    }

    /// Returns the request id of the service, if any.
    pub fn request_id(&self) -> Option<&str> {
        self.0.details.request_id.as_deref()
    }

    /// Returns the id under which others can approve the request (the accessor of a control group),
    /// if any.
    pub fn approval_id(&self) -> Option<&str> {
        self.0.details.approval_id.as_deref()
    }

    /// Returns the wait that the service asks for, if any.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.details.retry_after
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        self.0.details.hint()
    }

    /// Converts it into the error of a decryptor with the key of this merchant certificate.
    pub(crate) fn of_field(self, serial_no: &SerialNo) -> FieldDecryptError {
        let (kind, hint) = (self.kind(), self.hint());
        if kind == SignErrorKind::Unsupported {
            let reason = format!("the key of the merchant certificate {serial_no}: {self}");
            return FieldDecryptError::key_cannot_decrypt(reason, hint);
        }
        FieldDecryptError::unavailable(kind, hint, self)
    }

    pub(crate) fn timeout(waited: Duration) -> Self {
        let message = format!("the key service did not answer within {} ms", waited.as_millis());
        Self::new(SignErrorKind::Timeout, message)
    }

    pub(crate) fn setting(message: impl AsRef<str>, hint: &'static str) -> Self {
        Self::new(SignErrorKind::Configuration, message).with_hint(hint)
    }
}

/// Reduces a foreign text to one line.
fn one_line(text: &str) -> String {
    // White space is collapsed before the text is cut.
    let text = foreign_text(text, 2 * MAX_TEXT, &[]);
    let mut line: String = text
        .split(char::is_whitespace)
        .filter(|word| !word.is_empty())
        .flat_map(|word| [" ", word])
        .skip(1)
        .flat_map(str::chars)
        .take(MAX_TEXT + 1)
        .collect();
    if line.chars().count() > MAX_TEXT {
        line.pop();
        line.push('…');
    }
    line
}

impl fmt::Display for KmsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.message, self.0.details)
    }
}

impl StdError for KmsError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

/// The key of the service, or the given certificate, is not the right one.
impl From<KeyError> for KmsError {
    fn from(error: KeyError) -> Self {
        let (kind, hint) = match &error {
            KeyError::NotRsa { .. } | KeyError::WrongSize { .. } => {
                (SignErrorKind::Unsupported, error.hint())
            }
            KeyError::CertificateMismatch { .. } => (
                SignErrorKind::Configuration,
                "give the certificate of this key; where the key was rotated in the service, name \
                 the version that the certificate was made for",
            ),
            _ => (SignErrorKind::Configuration, error.hint()),
        };
        Self::new(kind, "the key or its certificate cannot be used")
            .with_hint(hint)
            .with_source(error)
    }
}

impl From<KmsError> for SignError {
    fn from(error: KmsError) -> Self {
        sign_error(error.0.details.clone(), "the key service did not sign").with_source(error)
    }
}

debug_as_report!(KmsError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_from_outside_are_one_line_of_some_length() {
        let error = KmsError::new(SignErrorKind::Other, "<html>\r\n\t<b>no</b>\u{0}")
            .with_code("a\nb")
            .with_request_id("c\nd");
        assert_eq!(error.to_string(), "<html> <b>no</b> (a b) [request-id c d]");
        let error = KmsError::new(SignErrorKind::Other, "文".repeat(301));
        assert_eq!(error.to_string(), format!("{}…", "文".repeat(300)));
        let error = KmsError::new(SignErrorKind::Other, "文".repeat(300));
        assert_eq!(error.to_string(), "文".repeat(300));
    }

    #[test]
    fn what_the_service_says_reaches_the_signing_error() {
        let error = KmsError::new(SignErrorKind::Throttled, "too many")
            .with_code("RequestLimitExceeded")
            .with_request_id("7c1b")
            .with_hint("ask for more")
            .with_retry_after(Duration::from_secs(3));
        let error = SignError::from(error);
        assert_eq!(error.kind(), SignErrorKind::Throttled);
        assert_eq!(error.code(), Some("RequestLimitExceeded"));
        assert_eq!(error.request_id(), Some("7c1b"));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
        assert_eq!(error.hint(), "ask for more");
        assert_eq!(
            error.to_string(),
            "signing failed (throttled): the key service did not sign (RequestLimitExceeded) \
             [request-id 7c1b]"
        );
        assert_eq!(
            StdError::source(&error).unwrap().to_string(),
            "too many (RequestLimitExceeded) [request-id 7c1b]"
        );
    }
}
