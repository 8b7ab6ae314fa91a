//! Errors of echo calls.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use thiserror::Error;
use wxpay_auth::{FieldDecryptError, write_report};
use wxpay_transport::{BodyError, Delivery};

/// Why an echo call did not succeed. Shows none of the texts.
#[derive(Error)]
#[non_exhaustive]
pub enum EchoError {
    /// The transport did not return a verified 2xx response.
    #[error(transparent)]
    Transport(#[from] wxpay_transport::Error),
    /// A verified response has another status than 200.
    #[error("security.echo answered {status}, 200 was expected{}", suffix(request_id.as_ref()))]
    #[non_exhaustive]
    UnexpectedStatus {
        /// The status.
        status: StatusCode,
        /// The `Request-ID`.
        request_id: Option<String>,
    },
    /// The body of a verified response does not have the documented form.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A verified response contains another text than the one that was sent.
    #[error("the {field} of the response is not the one that was sent{}", suffix(request_id.as_ref()))]
    #[non_exhaustive]
    Mismatch {
        /// The name of the field.
        field: &'static str,
        /// The `Request-ID`.
        request_id: Option<String>,
    },
    /// An encrypted text was sent, and the response has none.
    #[error("the response has no encrypted_echo_message{}", suffix(request_id.as_ref()))]
    #[non_exhaustive]
    NotEncrypted {
        /// The `Request-ID`.
        request_id: Option<String>,
    },
    /// The encrypted text of the response was not decrypted.
    #[error("the encrypted_echo_message of the response was not decrypted{}", suffix(request_id.as_ref()))]
    #[non_exhaustive]
    Decrypt {
        /// The error of the decryptor.
        source: FieldDecryptError,
        /// The `Request-ID`.
        request_id: Option<String>,
    },
}

fn suffix(request_id: Option<&String>) -> String {
    request_id.map(|id| format!(" [request-id {id}]")).unwrap_or_default()
}

impl EchoError {
    /// Returns whether the request reached WeChat Pay.
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::Transport(e) => e.delivery(),
            _ => Delivery::Answered,
        }
    }

    /// Returns whether the same call may succeed a little later, without any change.
    pub fn may_retry(&self) -> bool {
        match self {
            Self::Transport(e) => e.may_retry(),
            Self::Decrypt { source, .. } => source.is_transient(),
            _ => false,
        }
    }

    /// Returns the `Request-ID`, if a response arrived. WeChat Pay's support asks for it.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Transport(e) => e.request_id(),
            Self::Body(e) => e.request_id(),
            Self::UnexpectedStatus { request_id, .. }
            | Self::Mismatch { request_id, .. }
            | Self::NotEncrypted { request_id }
            | Self::Decrypt { request_id, .. } => request_id.as_deref(),
        }
    }

    /// Returns the response that refused the call, if there is one.
    pub fn api(&self) -> Option<&wxpay_transport::ApiError> {
        match self {
            Self::Transport(wxpay_transport::Error::Api(e)) => Some(e),
            _ => None,
        }
    }

    /// Returns what to do.
    pub fn hint(&self) -> Cow<'static, str> {
        match self {
            Self::Transport(e) => e.hint(),
            Self::Body(_) | Self::UnexpectedStatus { .. } => {
                "nothing was changed; compare the response with the documentation of the call, and report it".into()
            }
            Self::Mismatch { field: "encrypted_echo_message", .. } => {
                "check that the encrypted field and the text given with it belong together; otherwise the response \
                 belongs to another call: check what is between this machine and WeChat Pay"
                    .into()
            }
            Self::Mismatch { .. } => {
                "the response belongs to another call: check what is between this machine and WeChat Pay (proxies, \
                 gateways), and send other calls on unused connections only (ConnectionReuse)"
                    .into()
            }
            Self::NotEncrypted { .. } => {
                "report it to WeChat Pay's support with the request id: the documentation promises the field".into()
            }
            Self::Decrypt { source, .. } => source.hint().into(),
        }
    }
}

/// Prints one line with the causes and the hint, so that a `main` that returns the error shows them.
impl fmt::Debug for EchoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, &self.hint())
    }
}
