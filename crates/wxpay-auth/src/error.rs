//! One error type for setting up and using keys.

use thiserror::Error;
#[cfg(feature = "aws-lc-rs")]
use wxpay_auth_core::FieldEncryptError;
use wxpay_auth_core::internal::debug_as_report;
use wxpay_auth_core::{
    AuthorizationError, BrandIdError, CertificateRequestError, CertificateSubjectError,
    FieldDecryptError, KeyError, MchidError, NonceError, NonceFormatError, NotReady, SerialNoError,
    ShareError, SignError, UnsupportedScheme, UnverifiedNotification, VerifyError,
    WechatpaySerialError,
};

#[cfg(feature = "kms")]
use crate::kms::KmsError;
#[cfg(feature = "pkcs11")]
use crate::pkcs11::Pkcs11Error;
use crate::signer_uri::SignerUriError;

/// Any error of this crate, for applications that want a single type for `?`.
#[derive(Error)]
#[non_exhaustive]
pub enum Error {
    /// A merchant number is malformed.
    #[error(transparent)]
    Mchid(#[from] MchidError),
    /// The id of a brand is malformed.
    #[error(transparent)]
    BrandId(#[from] BrandIdError),
    /// The serial of a merchant certificate is malformed.
    #[error(transparent)]
    SerialNo(#[from] SerialNoError),
    /// The id of a WeChat Pay key is malformed.
    #[error(transparent)]
    WechatpaySerial(#[from] WechatpaySerialError),
    /// A key or certificate was not accepted.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A signer failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A signature of WeChat Pay was not accepted.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A notification was not accepted.
    #[error(transparent)]
    UnverifiedNotification(#[from] UnverifiedNotification),
    /// A verifier cannot verify any response now.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// An `Authorization` header is malformed.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// No `Authorization` scheme is documented for this identity with this signer.
    #[error(transparent)]
    Scheme(#[from] UnsupportedScheme),
    /// The subject of a certificate request is malformed.
    #[error(transparent)]
    CertificateSubject(#[from] CertificateSubjectError),
    /// A certificate request failed.
    #[error(transparent)]
    CertificateRequest(#[from] CertificateRequestError),
    /// A PKCS#11 token, or the key in it, could not be used.
    #[cfg(feature = "pkcs11")]
    #[error(transparent)]
    Pkcs11(#[from] Pkcs11Error),
    /// A key service, or the key in it, could not be used.
    #[cfg(feature = "kms")]
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// A sensitive field was not decrypted.
    #[error(transparent)]
    FieldDecrypt(#[from] FieldDecryptError),
    /// A sensitive field was not encrypted.
    #[cfg(feature = "aws-lc-rs")]
    #[error(transparent)]
    FieldEncrypt(#[from] FieldEncryptError),
    /// The address of a signer cannot be used.
    #[error(transparent)]
    SignerUri(#[from] SignerUriError),
    /// A nonce is malformed.
    #[error(transparent)]
    NonceFormat(#[from] NonceFormatError),
    /// No randomness is available.
    #[error(transparent)]
    Nonce(#[from] NonceError),
    /// A share of calls is not a fraction between 0 and 1.
    #[error(transparent)]
    Share(#[from] ShareError),
}

impl Error {
    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Mchid(e) => e.hint(),
            Self::BrandId(e) => e.hint(),
            Self::SerialNo(e) => e.hint(),
            Self::Share(e) => e.hint(),
            Self::WechatpaySerial(e) => e.hint(),
            Self::Key(e) => e.hint(),
            Self::Sign(e) => e.hint(),
            Self::Verify(e) => e.hint(),
            Self::UnverifiedNotification(e) => e.hint(),
            Self::NotReady(e) => e.hint(),
            Self::Authorization(_) => {
                "send: Authorization: WECHATPAY2-SHA256-RSA2048 mchid=\"…\",nonce_str=\"…\",\
                 timestamp=\"…\",serial_no=\"…\",signature=\"…\""
            }
            Self::Scheme(_) => "use a signer whose algorithm WeChat Pay has for this identity",
            Self::CertificateSubject(e) => e.hint(),
            Self::CertificateRequest(e) => e.hint(),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(e) => e.hint(),
            #[cfg(feature = "kms")]
            Self::Kms(e) => e.hint(),
            Self::FieldDecrypt(e) => e.hint(),
            #[cfg(feature = "aws-lc-rs")]
            Self::FieldEncrypt(e) => e.hint(),
            Self::SignerUri(e) => e.hint(),
            Self::NonceFormat(e) => e.hint(),
            Self::Nonce(_) => "check that the process may use the system's random numbers",
        }
    }
}

debug_as_report!(Error);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SignErrorKind;

    #[test]
    fn no_cause_is_said_twice() {
        let error = SignError::new(SignErrorKind::Unavailable, "no response")
            .with_source(std::io::Error::other("the line is dead"))
            .with_hint("mend the line");
        let line = format!("{error:?}");
        assert_eq!(
            line,
            "signing failed (unavailable): no response: the line is dead; mend the line"
        );
        assert_eq!(format!("{:?}", Error::from(error)), line);
    }
}
