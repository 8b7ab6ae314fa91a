//! RSA private keys held by this process.

use std::fmt;
use std::path::Path;

use pkcs1::RsaPrivateKeyRef;
use pkcs1::der::{Decode, Encode};
use pkcs8::PrivateKeyInfoRef;

#[cfg(feature = "aws-lc-rs")]
use crate::keys::oaep::OaepPrivateKey;
use crate::keys::{Backend, KeyError, KeyMaterial, PublicKey, key_file, pem, rsa};
use crate::signer::{SignError, SignErrorKind};

/// An RSA private key of 2048 bits, ready to sign.
///
/// The text it was parsed from is wiped; the numbers for the computation stay in memory as long as the
/// key does. If that is not acceptable, keep the key in an HSM or a KMS.
pub struct PrivateKey {
    key: Key,
    public_key: PublicKey,
}

/// The labels of PKCS#8 and of PKCS#1.
const PRIVATE_KEY: &str = "PRIVATE KEY";
const RSA_PRIVATE_KEY: &str = "RSA PRIVATE KEY";

enum Key {
    Ring(Box<ring::rsa::KeyPair>),
    #[cfg(feature = "aws-lc-rs")]
    AwsLcRs(Box<aws_lc_rs::rsa::KeyPair>),
}

impl PrivateKey {
    /// Parses a private key in PEM, PKCS#8 (`PRIVATE KEY`) or PKCS#1 (`RSA PRIVATE KEY`), for use with
    /// `ring`.
    ///
    /// # Errors
    /// [`KeyError`]: not PEM, encrypted, not a private key, not RSA, not 2048 bits, or damaged.
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        Self::from_pem_with(Backend::default(), pem)
    }

    /// Parses a private key in PEM, for use with the given library.
    ///
    /// # Errors
    /// As [`PrivateKey::from_pem`].
    pub fn from_pem_with(backend: Backend, pem: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let block = pem::find(pem.as_ref(), KeyMaterial::PrivateKey)?;
        match block.label.as_str() {
            RSA_PRIVATE_KEY if PrivateKeyInfoRef::from_der(&block.der).is_ok() => {
                Err(KeyError::WrongLabel { label: RSA_PRIVATE_KEY, right: PRIVATE_KEY })
            }
            RSA_PRIVATE_KEY => Self::from_pkcs1(backend, &block.der),
            PRIVATE_KEY if RsaPrivateKeyRef::from_der(&block.der).is_ok() => {
                Err(KeyError::WrongLabel { label: PRIVATE_KEY, right: RSA_PRIVATE_KEY })
            }
            PRIVATE_KEY => {
                let key = PrivateKeyInfoRef::from_der(&block.der)
                    .map_err(|_| damaged("it is not a PKCS#8 PrivateKeyInfo"))?;
                rsa::require_rsa(&key.algorithm.oid)?;
                Self::from_pkcs1(backend, key.private_key.as_bytes())
            }
            other => {
                let algorithm = other.trim_end_matches("PRIVATE KEY").trim().to_owned();
                Err(KeyError::NotRsa { algorithm })
            }
        }
    }

    /// Reads a private key from a PEM file, for use with `ring`. Blocking: call it at startup.
    ///
    /// Logs a warning through `tracing` if users other than the owner can read the file.
    ///
    /// # Errors
    /// As [`PrivateKey::from_pem`], and if the file does not exist or cannot be read.
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        Self::from_pem_file_with(Backend::default(), path)
    }

    /// Reads a private key from a PEM file, for use with the given library; see
    /// [`PrivateKey::from_pem_file`].
    ///
    /// # Errors
    /// As [`PrivateKey::from_pem_file`].
    pub fn from_pem_file_with(backend: Backend, path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let path = path.as_ref();
        let pem = key_file::read(path)?;
        key_file::warn_if_exposed(path, "this private key");
        Self::from_pem_with(backend, &*pem)
    }

    fn from_pkcs1(backend: Backend, pkcs1: &[u8]) -> Result<Self, KeyError> {
        let parsed = RsaPrivateKeyRef::from_der(pkcs1)
            .map_err(|_| damaged("it is not a PKCS#1 RSAPrivateKey"))?;
        rsa::require_2048_bits(parsed.modulus)?;
        let public_key = parsed
            .public_key()
            .to_der()
            .map_err(|_| damaged("its public half cannot be encoded"))?;
        let inconsistent = || damaged("its numbers do not fit each other");
        let key = match backend {
            Backend::Ring => Key::Ring(Box::new(
                ring::rsa::KeyPair::from_der(pkcs1)
                    .map_err(|_| not_taken_by_ring(&parsed).unwrap_or_else(inconsistent))?,
            )),
            #[cfg(feature = "aws-lc-rs")]
            Backend::AwsLcRs => Key::AwsLcRs(Box::new(
                aws_lc_rs::rsa::KeyPair::from_der(pkcs1).map_err(|_| inconsistent())?,
            )),
        };
        let public_key = PublicKey::from_checked_pkcs1(public_key).with_backend(backend)?;
        let key = Self { key, public_key };
        // The libraries do not check every number when they parse a key, only the result of using it.
        let fits = key.sign(b"").is_ok_and(|signature| key.public_key.verifies(b"", &signature));
        if fits { Ok(key) } else { Err(inconsistent()) }
    }

    /// Returns the public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Returns the library that signs.
    pub fn backend(&self) -> Backend {
        match self.key {
            Key::Ring(_) => Backend::Ring,
            #[cfg(feature = "aws-lc-rs")]
            Key::AwsLcRs(_) => Backend::AwsLcRs,
        }
    }

    /// Returns the key in the form that decrypts fields.
    #[cfg(feature = "aws-lc-rs")]
    pub(crate) fn to_oaep(&self) -> Result<OaepPrivateKey, KeyError> {
        match &self.key {
            Key::Ring(_) => Err(KeyError::CannotDecrypt { library: "ring" }),
            Key::AwsLcRs(key) => OaepPrivateKey::new(key)
                .ok_or_else(|| damaged("aws-lc-rs does not decrypt with it")),
        }
    }

    /// Signs a message (RSASSA-PKCS1-v1_5 with SHA-256) synchronously, and returns the 256 raw bytes.
    ///
    /// It takes 0.3 to 0.8 ms on the calling thread; in async code, use
    /// [`FileKeySigner`](crate::FileKeySigner).
    ///
    /// # Errors
    /// [`SignError`] of kind [`Other`](SignErrorKind::Other) if the library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let mut signature = vec![0; rsa::MODULUS_BITS / 8];
        let signed = match &self.key {
            Key::Ring(key) => {
                let random = ring::rand::SystemRandom::new();
                let padding = &ring::signature::RSA_PKCS1_SHA256;
                key.sign(padding, &random, message, &mut signature).is_ok()
            }
            #[cfg(feature = "aws-lc-rs")]
            Key::AwsLcRs(key) => {
                let random = aws_lc_rs::rand::SystemRandom::new();
                let padding = &aws_lc_rs::signature::RSA_PKCS1_SHA256;
                key.sign(padding, &random, message, &mut signature).is_ok()
            }
        };
        if signed {
            Ok(signature)
        } else {
            Err(SignError::new(SignErrorKind::Other, "the RSA computation failed"))
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("bits", &rsa::MODULUS_BITS)
            .field("backend", &self.backend())
            .finish_non_exhaustive()
    }
}

/// Returns what `ring` does not support of a key that may still be valid.
fn not_taken_by_ring(key: &RsaPrivateKeyRef<'_>) -> Option<KeyError> {
    const SMALLEST: [u8; 3] = [1, 0, 1];
    let not_taken = |reason| KeyError::NotTaken { library: "ring", reason };
    let exponent = key.public_exponent.as_bytes();
    if (exponent.len(), exponent) < (SMALLEST.len(), &SMALLEST) {
        return Some(not_taken("its public exponent is smaller than 65537"));
    }
    let is_odd = |prime| rsa::bits(prime) != rsa::MODULUS_BITS / 2;
    (is_odd(key.prime1) || is_odd(key.prime2))
        .then(|| not_taken("its primes are not of 1024 bits each"))
}

fn damaged(reason: &'static str) -> KeyError {
    KeyError::Malformed { material: KeyMaterial::PrivateKey, reason }
}
