//! What the crates of this workspace share beside the public API. It is none itself: any release may
//! change it, so nobody else may depend on it.

use crate::keys::{Certificate, KeyError, PublicKey, rsa};
use crate::nonce::NonceError;

pub use crate::keys::FileSource;
pub use crate::text::{
    Number, Shown, ShownSecret, debug_as_report, invisible, may_be_path, may_be_path_of_secret,
    serde_as_text, without,
};

/// What signers share whose key is elsewhere: in a token, or in a key service.
pub mod remote {
    use crate::signer::SignError;

    pub use crate::remote::{
        FailureDetails, PROBE, SecretSource, SerialSource, UnreadSecret, checked_signature,
        credential_hint,
    };

    /// Returns the error of a signer that failed with these details.
    pub fn sign_error(details: FailureDetails, message: &str) -> SignError {
        SignError::with_details(details, message.to_owned())
    }
}

/// Key files on disk.
pub mod files {
    pub use crate::keys::key_file::{read, warn_if_exposed};
}

/// Makes a public key of modulus and exponent (big-endian, as PKCS#11 has them), and checks it.
///
/// # Errors
/// [`KeyError`]: they are no numbers, or the key is not of 2048 bits.
pub fn public_key_of_numbers(modulus: &[u8], exponent: &[u8]) -> Result<PublicKey, KeyError> {
    rsa::public_key_of_numbers(modulus, exponent).map(PublicKey::from_checked_pkcs1)
}

/// Tells whether the subject of a certificate is that of a merchant API certificate.
pub fn is_merchants(certificate: &Certificate) -> bool {
    certificate.is_merchants()
}

/// Tells whether a certificate names its own subject as its issuer, as no certificate of WeChat Pay's does.
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

/// Returns the error of a system without randomness.
pub fn no_randomness() -> NonceError {
    NonceError::new()
}
