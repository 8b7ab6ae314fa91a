#![doc = include_str!("../README.md")]

mod algorithm;
mod authorization;
mod backend;
mod certificate;
mod certificate_request;
mod certificate_subject;
mod clock;
#[cfg(feature = "file-key")]
mod cpu_gate;
#[cfg(feature = "file-key")]
mod file_key_signer;
mod file_source;
mod files;
mod foreign_text;
mod identity;
#[doc(hidden)]
pub mod internal;
mod invisible;
mod key_error;
mod key_ring;
mod merchant_certificate;
mod message;
mod nonce;
mod not_ready;
mod pem;
#[cfg(feature = "file-key")]
mod private_key;
mod public_key;
mod report;
mod rsa;
mod serial_no;
mod shown_path;
mod sign_error;
mod signature;
mod signer;
mod verified;
mod verifier;
mod verify_error;
mod wechatpay_serial;

pub use async_trait::async_trait;
pub use http;

pub use algorithm::{Algorithm, Scheme};
pub use authorization::{Authorization, AuthorizationError, UnsupportedScheme, authorization};
pub use backend::Backend;
pub use certificate::Certificate;
pub use certificate_request::{CertificateRequest, CertificateRequestError};
pub use certificate_subject::{CertificateSubject, CertificateSubjectError};
pub use clock::{Clock, SystemClock, Timestamp};
#[cfg(feature = "file-key")]
pub use file_key_signer::FileKeySigner;
pub use foreign_text::foreign_text;
pub use identity::{BrandId, Identity, Mchid, MchidError};
pub use key_error::{KeyError, KeyMaterial};
pub use key_ring::KeyRing;
pub use message::{request_message, response_message};
pub use nonce::{Nonce, NonceError, NonceSource, SystemNonce};
pub use not_ready::NotReady;
#[cfg(feature = "file-key")]
pub use private_key::PrivateKey;
pub use public_key::PublicKey;
pub use report::write_report;
pub use serial_no::{SerialNo, SerialNoError};
pub use sign_error::{SignError, SignErrorKind};
pub use signature::Signature;
pub use signer::Signer;
pub use verified::{CLOCK_WINDOW_SECS, Verified, is_signed, verify_response};
pub use verifier::{SignedMessage, Verifier};
pub use verify_error::VerifyError;
pub use wechatpay_serial::{WechatpaySerial, WechatpaySerialError};
