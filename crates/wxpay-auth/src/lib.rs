// The links of the README lead to files, where it is read next to them. The first of two definitions
// counts, so here they lead to the items.
//! [`Signer`]: crate::Signer
//! [`Verifier`]: crate::Verifier
//! [`KeyRing`]: crate::KeyRing
//! [`verify_response`]: crate::verify_response
//! [`EncryptedField`]: crate::EncryptedField
//! [`FieldDecryptor`]: crate::FieldDecryptor
//! [`SecretText`]: crate::SecretText
#![cfg_attr(feature = "file-key", doc = "[`FileKeySigner`]: crate::FileKeySigner")]
//!
// The examples in the README need the feature, and one of them needs aws-lc-rs as well.
#![cfg_attr(
    all(feature = "file-key", any(not(doctest), feature = "aws-lc-rs")),
    doc = include_str!("../README.md")
)]
#![cfg_attr(not(feature = "file-key"), doc = "Keys and signatures of WeChat Pay APIv3.")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
#[doc(hidden)]
pub mod internal;
mod signer_uri;

pub use async_trait::async_trait;
#[cfg(all(feature = "file-key", feature = "aws-lc-rs"))]
#[cfg_attr(docsrs, doc(cfg(all(feature = "file-key", feature = "aws-lc-rs"))))]
pub use wxpay_auth_core::FileKeyDecryptor;
pub use wxpay_auth_core::http;
pub use wxpay_auth_core::{
    Algorithm, ApiV3Key, ApiV3KeyError, Authorization, AuthorizationError, Backend, BrandId,
    BrandIdError, CLOCK_WINDOW_SECS, CanarySigner, Certificate, CertificateRequest,
    CertificateRequestError, CertificateSubject, CertificateSubjectError, Clock, DecryptError,
    EncryptedField, EncryptedResource, ExchangeableSigner, FieldDecryptError, FieldDecryptor,
    FieldDecryptors, Identity, KeyError, KeyMaterial, KeyRing, Mchid, MchidError, Nonce,
    NonceError, NonceFormatError, NonceSource, NotReady, PublicKey, ResourceDecryptor, Scheme,
    SecretText, SerialNo, SerialNoError, Share, ShareError, SignError, SignErrorKind, Signature,
    SignedMessage, Signer, SystemClock, SystemNonce, Timestamp, UnsupportedScheme,
    UnverifiedNotification, Verified, Verifier, VerifyError, WechatpaySerial, WechatpaySerialError,
    authorization, foreign_text, is_signed, request_message, response_message, verify_notification,
    verify_response, write_report,
};
#[cfg(feature = "date-time")]
pub use wxpay_auth_core::{DateTime, DateTimeError};
#[cfg(feature = "aws-lc-rs")]
#[cfg_attr(docsrs, doc(cfg(feature = "aws-lc-rs")))]
pub use wxpay_auth_core::{FieldEncryptError, FieldEncryptor};
#[cfg(feature = "file-key")]
pub use wxpay_auth_core::{FileKeySigner, PrivateKey};
#[cfg(feature = "kms")]
#[doc(inline)]
pub use wxpay_auth_kms as kms;
#[cfg(feature = "pkcs11")]
#[doc(inline)]
pub use wxpay_auth_pkcs11 as pkcs11;

pub use error::Error;
pub use signer_uri::{SignerUri, SignerUriError, UriSigner, signer_from_uri};
