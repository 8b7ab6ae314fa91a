//! A signer whose key is in a PEM file, and where it computes.

mod signer;
mod signing_pool;

pub use self::signer::FileKeySigner;
