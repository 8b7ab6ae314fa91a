#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod authorization;
mod certificate_request;
mod clock;
#[cfg(feature = "date-time")]
mod date_time;
mod encrypted;
#[cfg(feature = "file-key")]
mod file_key;
mod identity;
#[doc(hidden)]
pub mod internal;
mod keys;
mod log;
mod message;
mod nonce;
#[cfg(test)]
mod panicking;
mod panics;
mod remote;
mod sensitive;
mod serial_no;
mod share;
mod signer;
mod text;
mod verifier;
mod wechatpay_serial;

pub use async_trait::async_trait;
pub use http;

pub use authorization::{Authorization, AuthorizationError, UnsupportedScheme, authorization};
pub use certificate_request::{
    CertificateRequest, CertificateRequestError, CertificateSubject, CertificateSubjectError,
};
pub use clock::{Clock, SystemClock, Timestamp};
#[cfg(feature = "date-time")]
pub use date_time::{DateTime, DateTimeError};
pub use encrypted::{ApiV3Key, ApiV3KeyError, DecryptError, EncryptedResource, ResourceDecryptor};
#[cfg(all(feature = "file-key", feature = "aws-lc-rs"))]
#[cfg_attr(docsrs, doc(cfg(all(feature = "file-key", feature = "aws-lc-rs"))))]
pub use file_key::FileKeyDecryptor;
#[cfg(feature = "file-key")]
pub use file_key::FileKeySigner;
pub use identity::{BrandId, BrandIdError, Identity, Mchid, MchidError};
#[cfg(feature = "file-key")]
pub use keys::PrivateKey;
pub use keys::{Backend, Certificate, KeyError, KeyMaterial, PublicKey};
pub use message::{request_message, response_message};
pub use nonce::{Nonce, NonceError, NonceFormatError, NonceSource, SystemNonce};
pub use sensitive::{
    EncryptedField, FieldDecryptError, FieldDecryptor, FieldDecryptors, SecretText,
};
#[cfg(feature = "aws-lc-rs")]
#[cfg_attr(docsrs, doc(cfg(feature = "aws-lc-rs")))]
pub use sensitive::{FieldEncryptError, FieldEncryptor};
pub use serial_no::{SerialNo, SerialNoError};
pub use share::{Share, ShareError};
pub use signer::{
    Algorithm, CanarySigner, ExchangeableSigner, Scheme, SignError, SignErrorKind, Signature,
    Signer,
};
pub use text::{foreign_text, write_report};
pub use verifier::{
    CLOCK_WINDOW_SECS, KeyRing, NotReady, SignedMessage, UnverifiedNotification, Verified,
    Verifier, VerifyError, is_signed, verify_notification, verify_response,
};
pub use wechatpay_serial::{WechatpaySerial, WechatpaySerialError};
