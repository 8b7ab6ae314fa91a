//! Signing with keys in PKCS#11 tokens (HSMs), which the keys never leave.
//!
//! [`Pkcs11Signer`] signs with a key in a token, [`Pkcs11Decryptor`] decrypts sensitive fields
//! (敏感信息) with it, [`Pkcs11Uri`] is the address of a key, and [`Pkcs11KeyPair`] generates one.
//!
//! - Each session has its own thread; callers wait in a bounded queue, and leave it as soon as they
//!   give up. The async runtime is never blocked.
//! - Each signature is verified before it is returned.
//! - After any error a new session is opened, with a login if it needs one, for a retry; then, if the
//!   module may be the cause, it is restarted for a last attempt.
//! - This process does not resend a PIN that the token refused, and sends none if one more wrong PIN
//!   locks the token.
//! - A library is loaded and initialised once per process, and stays loaded until the process ends.
//!
//! Tested tokens, sizing, rotation, and what to do when a token fails: `docs/hsm.md` in the
//! repository.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod decryptor;
mod error;
mod key_lookup;
mod key_pair;
mod mechanism;
mod module;
#[cfg(test)]
mod panicking;
mod pin;
mod return_value;
mod session;
mod signer;
mod slot;
mod uri;
mod worker;

pub use builder::Pkcs11SignerBuilder;
pub use decryptor::Pkcs11Decryptor;
pub use error::Pkcs11Error;
pub use key_pair::{Pkcs11KeyPair, Pkcs11KeyUsage};
pub use mechanism::Pkcs11Mechanism;
pub use pin::Pin;
pub use signer::Pkcs11Signer;
pub use uri::Pkcs11Uri;
pub use uri::error::Pkcs11UriError;
