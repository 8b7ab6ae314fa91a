// The README's links lead to files, where it is read beside them. Of two definitions the first one
// counts, so here they lead to the items.
//! [`Signer`]: crate::Signer
//! [`Verifier`]: crate::Verifier
//! [`KeyRing`]: crate::KeyRing
//! [`verify_response`]: crate::verify_response
#![cfg_attr(feature = "file-key", doc = "[`FileKeySigner`]: crate::FileKeySigner")]
//!
// The examples in it need the feature.
#![cfg_attr(feature = "file-key", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "file-key"), doc = "Keys and signatures of WeChat Pay APIv3.")]

mod algorithm;
mod authorization;
mod backend;
mod certificate;
mod certificate_request;
mod certificate_subject;
mod clock;
#[cfg(feature = "file-key")]
mod cpu_gate;
mod error;
#[cfg(feature = "file-key")]
mod file_key_signer;
mod file_source;
mod files;
mod foreign_text;
mod identity;
mod invisible;
mod key_error;
mod key_ring;
#[cfg(feature = "kms")]
pub mod kms;
mod merchant_certificate;
mod message;
mod nonce;
mod not_ready;
mod pem;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
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
mod signer_uri;
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
pub use error::Error;
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
pub use signer_uri::{SignerUri, SignerUriError, UriSigner, signer_from_uri};
pub use verified::{CLOCK_WINDOW_SECS, Verified, is_signed, verify_response};
pub use verifier::{SignedMessage, Verifier};
pub use verify_error::VerifyError;
pub use wechatpay_serial::{WechatpaySerial, WechatpaySerialError};
