//! Keys and certificates: parsed, checked, ready for use.

mod certificate;
mod crypto_backend;
mod error;
mod file_source;
mod issuer;
pub(crate) mod key_file;
mod merchant_certificate;
#[cfg(feature = "aws-lc-rs")]
pub(crate) mod oaep;
mod pem;
#[cfg(feature = "file-key")]
mod private_key;
mod public_key;
pub(crate) mod rsa;

pub use self::certificate::Certificate;
pub use self::crypto_backend::Backend;
pub use self::error::{KeyError, KeyMaterial};
pub use self::file_source::FileSource;
#[cfg(feature = "file-key")]
pub use self::private_key::PrivateKey;
pub use self::public_key::PublicKey;
