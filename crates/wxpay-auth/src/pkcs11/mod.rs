//! Keys in PKCS#11 tokens (HSMs), which they never leave.
//!
//! [`Pkcs11Signer`] signs with a key in a token, [`Pkcs11Uri`] says where it is.

mod builder;
mod call;
mod error;
mod gate;
mod key;
mod key_pair;
mod login;
mod mechanism;
mod module;
mod pin;
mod queue;
mod signer;
mod token;
mod uri;
mod uri_error;
mod vault;
mod workers;

pub use builder::Pkcs11SignerBuilder;
pub use error::Pkcs11Error;
pub use key_pair::{Pkcs11KeyPair, Pkcs11KeyUsage};
pub use mechanism::Pkcs11Mechanism;
pub use pin::Pin;
pub use signer::Pkcs11Signer;
pub use uri::Pkcs11Uri;
pub use uri_error::Pkcs11UriError;
