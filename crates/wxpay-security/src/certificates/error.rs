//! Why a download of platform certificates failed.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use thiserror::Error;
use wxpay_auth::{VerifyError, write_report};
use wxpay_auth_core::internal::debug_as_report;
use wxpay_transport::{ApiError, ResponseSignature, UnverifiedCause};

use crate::certificates::list_error::CertificateListError;

/// Why a download of platform certificates failed. The certificates held before are still held.
#[derive(Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The call failed, or its response could not be verified.
    #[error(transparent)]
    Transport(wxpay_transport::Error),
    /// The list was not accepted.
    #[error(transparent)]
    List(Arc<CertificateListError>),
    /// The merchant has no platform certificates, in most cases because it uses the WeChat Pay public key.
    #[error(transparent)]
    PublicKeyMode(PublicKeyModeError),
    /// The download was not completed: it took too long, its Tokio runtime ended or is missing, or code of the
    /// application panicked.
    #[error("the download of the platform certificates was interrupted")]
    Interrupted,
}

impl CertificateError {
    /// Returns whether the merchant has no platform certificates. Further downloads are of no use if the response that
    /// says so [was verified](PublicKeyModeError::is_verified).
    pub fn is_public_key_mode(&self) -> bool {
        matches!(self, Self::PublicKeyMode(_))
    }

    /// Returns the `Request-ID`, if a response arrived. WeChat Pay's support asks for it.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Transport(e) => e.request_id(),
            Self::PublicKeyMode(e) => e.request_id(),
            Self::List(_) | Self::Interrupted => None,
        }
    }

    /// Returns what to do.
    pub fn hint(&self) -> Cow<'static, str> {
        match self {
            Self::Transport(wxpay_transport::Error::Api(api)) if says_expired(api) => {
                EXPIRED.into()
            }
            Self::Transport(e) => e.hint(),
            Self::List(e) => e.hint().into(),
            Self::PublicKeyMode(e) => e.hint().into(),
            Self::Interrupted => "download again, from a Tokio runtime that keeps running".into(),
        }
    }
}

impl From<wxpay_transport::Error> for CertificateError {
    fn from(error: wxpay_transport::Error) -> Self {
        if let Some(list) = list_error(&error) {
            return Self::List(Arc::clone(list));
        }
        match error {
            wxpay_transport::Error::Api(api) if says_no_more(&api) => {
                Self::PublicKeyMode(PublicKeyModeError { api: Box::new(api) })
            }
            error => Self::Transport(error),
        }
    }
}

impl From<CertificateListError> for CertificateError {
    fn from(error: CertificateListError) -> Self {
        Self::List(Arc::new(error))
    }
}

/// Prints one line with the causes and the hint, so that a `main` that returns the error shows them.
impl fmt::Debug for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_report(f, self, &self.hint())
    }
}

/// Finds the error of the list in that of a response that was to be verified with it.
fn list_error(error: &wxpay_transport::Error) -> Option<&Arc<CertificateListError>> {
    let wxpay_transport::Error::Unverified(unverified) = error else { return None };
    match unverified.cause() {
        UnverifiedCause::Signature(VerifyError::Unavailable { source, .. }) => {
            source.downcast_ref()
        }
        _ => None,
    }
}

/// What to do if WeChat Pay's own certificates have expired.
const EXPIRED: &str = "the platform certificates have expired: move to the WeChat Pay public key (账户中心 > API安全 > \
                       微信支付公钥), or ask WeChat Pay's support";

/// Returns whether a response says that the certificates have expired and there is no new one yet.
fn says_expired(api: &ApiError) -> bool {
    refuses(api) && api.code() == Some("NOT_ENOUGH")
}

fn refuses(api: &ApiError) -> bool {
    matches!(api.status(), StatusCode::NOT_FOUND | StatusCode::FORBIDDEN)
}

/// Returns whether a response says that there are no platform certificates.
///
/// The codes are those that were reported. A 404 may be signed by a public key that is not held; a signature that does
/// not match is another matter: then it is not known who says so.
fn says_no_more(api: &ApiError) -> bool {
    let code = matches!(api.code(), Some("RESOURCE_NOT_EXISTS" | "NOT_FOUND"));
    let may_be_wechat_pays = match api.signature() {
        ResponseSignature::Verified(_) | ResponseSignature::Missing => true,
        ResponseSignature::Refused(error) => {
            matches!(error, VerifyError::UnknownSerial { .. } | VerifyError::Unavailable { .. })
        }
        _ => false,
    };
    refuses(api) && code && may_be_wechat_pays
}

/// WeChat Pay says that the merchant has no platform certificates.
///
/// New merchants have only the WeChat Pay public key; others have moved to it. (`NOT_ENOUGH`, all certificates have
/// expired, is not this error but a [`CertificateError::Transport`].)
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012073263>
#[derive(Error)]
#[error("the merchant has no platform certificates")]
pub struct PublicKeyModeError {
    #[source]
    api: Box<ApiError>,
}

impl PublicKeyModeError {
    /// Returns the response that says so.
    pub fn api(&self) -> &ApiError {
        &self.api
    }

    /// Returns whether a key that is held signed the response. If not, anyone on the way may have sent it.
    pub fn is_verified(&self) -> bool {
        matches!(self.api.signature(), ResponseSignature::Verified(_))
    }

    /// Takes it for a failure like others.
    pub(super) fn into_failure(self) -> CertificateError {
        CertificateError::Transport(wxpay_transport::Error::Api(*self.api))
    }

    /// Returns the code of the response, such as `RESOURCE_NOT_EXISTS`.
    pub fn code(&self) -> &str {
        self.api.code().unwrap_or_default()
    }

    /// Returns the `Request-ID` of the response.
    pub fn request_id(&self) -> Option<&str> {
        self.api.request_id()
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        "verify with the WeChat Pay public key: download it with its PUB_KEY_ID_… from the merchant platform \
         (账户中心 > API安全 > 微信支付公钥), add it to the key ring (KeyRing::insert_public_key), and download no more \
         certificates"
    }
}

debug_as_report!(PublicKeyModeError);
