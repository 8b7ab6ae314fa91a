//! Items shared by the crates of this workspace outside the public API. Any release may change them, so other
//! crates must not depend on them.

use crate::keys::{Certificate, KeyError, PublicKey, rsa};
use crate::nonce::NonceError;

pub use crate::keys::FileSource;
pub use crate::share::Spread;
pub use crate::text::{
    Number, SentTexts, Shown, ShownSecret, debug_as_report, invisible, may_be_path,
    may_be_path_of_secret, serde_as_text, without,
};

/// Items shared by signers whose key is in a token or a key service.
pub mod remote {
    use crate::signer::SignError;

    pub use crate::remote::{
        FailureDetails, PROBE, SecretSource, SerialSource, UnreadSecret, checked_signature,
        credential_hint,
    };

    /// Returns a signer error with these details.
    pub fn sign_error(details: FailureDetails, message: &str) -> SignError {
        SignError::with_details(details, message.to_owned())
    }
}

/// What decryptors share, and RSA-OAEP for the gateway of tests.
pub mod fields {
    #[cfg(all(feature = "file-key", feature = "aws-lc-rs"))]
    pub use crate::keys::oaep::OaepPrivateKey;
    #[cfg(feature = "aws-lc-rs")]
    pub use crate::keys::oaep::OaepPublicKey;
    pub use crate::sensitive::{ciphertext_of, text_of};

    /// Returns a private key in the form that decrypts.
    ///
    /// # Errors
    /// [`KeyError::CannotDecrypt`](crate::KeyError::CannotDecrypt) if it was read for `ring`.
    #[cfg(all(feature = "file-key", feature = "aws-lc-rs"))]
    pub fn oaep(key: &crate::PrivateKey) -> Result<OaepPrivateKey, crate::KeyError> {
        key.to_oaep()
    }
}

/// Macros that write log events, and catch panics of the subscriber.
pub mod log {
    pub use crate::log::{SUBSCRIBER, debug, error, guarded, info, tracing, warn};
}

/// Panics in code of the application.
pub mod panics {
    pub use crate::panics::{caught, discard};
}

/// Key files on disk.
pub mod files {
    pub use crate::keys::key_file::{read, warn_if_exposed};
}

/// Builds a public key from modulus and exponent (big-endian, as in PKCS#11), and checks it.
///
/// # Errors
/// [`KeyError`]: they are not numbers, or the key does not have 2048 bits.
pub fn public_key_of_numbers(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, KeyError> {
    rsa::public_key_of_numbers(modulus, exponent).map(PublicKey::from_checked_pkcs1)
}

/// Returns whether the subject of a certificate is that of a merchant API certificate.
pub fn is_merchants(certificate: &Certificate) -> bool {
    certificate.is_merchants()
}

/// Returns whether a certificate names its own subject as issuer, which no certificate of WeChat Pay does.
pub fn is_self_issued(certificate: &Certificate) -> bool {
    certificate.is_self_issued()
}

/// Returns the error of a key that is not RSA.
pub fn not_rsa(algorithm: String) -> KeyError {
    KeyError::NotRsa { algorithm }
}

/// Returns the error of a certificate that belongs to another key.
pub fn certificate_mismatch(certificate: &Certificate) -> KeyError {
    KeyError::CertificateMismatch { serial_no: certificate.serial_no().clone() }
}

/// Returns the error of a merchant API certificate where a platform certificate is needed.
pub fn merchant_certificate(certificate: &Certificate) -> KeyError {
    KeyError::MerchantCertificate { serial_no: certificate.serial_no().clone() }
}

/// Returns the error of a system without randomness.
pub fn no_randomness() -> NonceError {
    NonceError::new()
}
