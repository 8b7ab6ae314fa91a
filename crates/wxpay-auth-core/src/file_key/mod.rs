//! A signer with a key from a PEM file, and the threads that compute its signatures.

mod signer;
mod signing_pool;

pub use self::signer::FileKeySigner;
