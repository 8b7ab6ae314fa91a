//! Keys in PKCS#11 tokens (HSMs), which they never leave.
//!
//! [`Pkcs11Signer`] signs with a key in a token, [`Pkcs11Uri`] says where it is, and
//! [`Pkcs11KeyPair`] makes one there.
//!
//! - Each session has a thread of its own; callers wait in a queue with an upper bound, and leave it
//!   at once when they give up. The async runtime is never blocked.
//! - Each signature is verified before it is returned.
//! - After any error there is a new session, a login if it needs one, and one more try; then, where
//!   the module may be what is broken, a restart of the module and a last one.
//! - A PIN that the token refused is not sent to it again by this process, and none is sent where one
//!   more wrong one locks the token.
//! - A library is loaded and initialised once in a process, and stays until it ends.
//!
//! What was tried on which token, sizing, rotation, and what to do when a token dies at night:
//! `docs/hsm.md` in the repository.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod error;
mod key_lookup;
mod key_pair;
mod mechanism;
mod module;
mod pin;
mod return_value;
mod session;
mod signer;
mod slot;
mod uri;
mod worker;

pub use builder::Pkcs11SignerBuilder;
pub use error::Pkcs11Error;
pub use key_pair::{Pkcs11KeyPair, Pkcs11KeyUsage};
pub use mechanism::Pkcs11Mechanism;
pub use pin::Pin;
pub use signer::Pkcs11Signer;
pub use uri::Pkcs11Uri;
pub use uri::error::Pkcs11UriError;
