//! A signer and a decryptor with a key from a PEM file, and the threads that compute for them.

#[cfg(feature = "aws-lc-rs")]
mod decryptor;
mod signer;
mod signing_pool;

#[cfg(feature = "aws-lc-rs")]
pub use self::decryptor::FileKeyDecryptor;
pub use self::signer::FileKeySigner;
