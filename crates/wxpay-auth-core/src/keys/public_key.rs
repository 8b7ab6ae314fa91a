//! RSA public keys: WeChat Pay's, and the merchant's for checks.

use std::fmt;

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use crate::keys::{Backend, KeyError, KeyMaterial, key_file, pem, rsa};

/// An RSA public key of 2048 bits, ready to verify.
///
/// Keys are equal if modulus and exponent are, regardless of the library that verifies with them.
#[derive(Clone)]
pub struct PublicKey {
    pkcs1: Vec<u8>,
    key: Key,
}

/// The labels of PKCS#1 and of a `SubjectPublicKeyInfo`.
const PKCS1: &str = "RSA PUBLIC KEY";
const SPKI: &str = "PUBLIC KEY";

#[derive(Clone)]
enum Key {
    Ring(UnparsedPublicKey<Vec<u8>>),
    #[cfg(feature = "aws-lc-rs")]
    AwsLcRs(std::sync::Arc<aws_lc_rs::signature::ParsedPublicKey>),
}

impl PublicKey {
    /// Parses a public key in PEM (`PUBLIC KEY` or `RSA PUBLIC KEY`), as downloaded from the merchant
    /// platform (`pub_key.pem`), for use with `ring`.
    ///
    /// # Errors
    /// [`KeyError`]: not PEM, not a public key, not RSA, not 2048 bits, or damaged.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4013053249>
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let block = pem::find(pem.as_ref(), KeyMaterial::PublicKey)?;
        let pkcs1 = match block.label.as_str() {
            PKCS1 if rsa::is_spki(&block.der) => {
                return Err(KeyError::WrongLabel { label: PKCS1, right: SPKI });
            }
            PKCS1 => rsa::checked_public_key(&block.der)?,
            SPKI if rsa::is_pkcs1(&block.der) => {
                return Err(KeyError::WrongLabel { label: SPKI, right: PKCS1 });
            }
            _ => rsa::public_key_of_spki(&block.der)?,
        };
        Ok(Self::from_checked_pkcs1(pkcs1))
    }

    /// Reads a public key from a PEM file; see [`PublicKey::from_pem`]. Blocking: call it at startup.
    ///
    /// # Errors
    /// As [`PublicKey::from_pem`], and if the file does not exist or cannot be read.
    pub fn from_pem_file(path: impl AsRef<std::path::Path>) -> Result<Self, KeyError> {
        Self::from_pem(&*key_file::read(path.as_ref())?)
    }

    /// Parses a public key in DER: a `SubjectPublicKeyInfo` (as a KMS returns it).
    ///
    /// # Errors
    /// [`KeyError`]: not RSA, not 2048 bits, or damaged.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        rsa::public_key_of_spki(der).map(Self::from_checked_pkcs1)
    }

    /// Returns it in the form used in certificates.
    pub(crate) fn to_spki(&self) -> x509_cert::der::Result<SubjectPublicKeyInfoOwned> {
        rsa::spki(&self.pkcs1)
    }

    pub(crate) fn from_checked_pkcs1(pkcs1: Vec<u8>) -> Self {
        let key = Key::Ring(UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pkcs1.clone()));
        Self { pkcs1, key }
    }

    /// Sets the library that verifies with this key.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] if that library does not accept the key.
    pub fn with_backend(self, backend: Backend) -> Result<Self, KeyError> {
        match backend {
            Backend::Ring => Ok(Self::from_checked_pkcs1(self.pkcs1)),
            #[cfg(feature = "aws-lc-rs")]
            Backend::AwsLcRs => {
                use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
                let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.pkcs1).map_err(
                    |_| KeyError::Malformed {
                        material: KeyMaterial::PublicKey,
                        reason: "aws-lc-rs does not accept it",
                    },
                )?;
                Ok(Self { key: Key::AwsLcRs(key.into()), ..self })
            }
        }
    }

    /// Returns whether the signature (RSASSA-PKCS1-v1_5 with SHA-256) matches the message.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            Key::Ring(key) => key.verify(message, signature).is_ok(),
            #[cfg(feature = "aws-lc-rs")]
            Key::AwsLcRs(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.pkcs1 == other.pkcs1
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("bits", &rsa::MODULUS_BITS).finish_non_exhaustive()
    }
}
