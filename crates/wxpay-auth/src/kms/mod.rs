//! Keys in key services (KMS), which they never leave.
//!
//! [`KmsSigner`] signs with a key in a service that a [`KmsBackend`] talks to. There are four, each
//! with a feature of its own; anybody can write another one.
//!
//! | service | feature | back end |
//! |---|---|---|
//! | `HashiCorp` Vault, OpenBao (Transit) | `vault` | `VaultTransit` |
//!
//! - The signature is padded to the length of the modulus and verified before it is returned: this
//!   catches a service that defaults to PSS, hashes a digest again, or signs with another key.
//! - Serial and version of the key belong together from the beginning: a rotation in the service
//!   changes nothing until a new signer is connected.
//! - Concurrency, queue, time and attempts are bounded. What is throttled or fails in passing is
//!   tried again, after the wait that the service names, or with back-off.
//!
//! Permissions, set-up, limits, latency, rotation: `docs/kms.md` in the repository.

mod backend;
mod backoff;
mod builder;
mod calls;
#[cfg(feature = "_access-key")]
mod credentials;
#[cfg(feature = "_http")]
mod endpoint;
mod error;
#[cfg(feature = "_http")]
mod http;
#[cfg(feature = "_http")]
mod secret;
mod signer;
#[cfg(feature = "_http")]
mod tls;
#[cfg(feature = "vault")]
mod vault;

pub use backend::{KmsBackend, KmsKey};
pub use builder::KmsSignerBuilder;
#[cfg(feature = "_access-key")]
pub use credentials::{CredentialProvider, Credentials};
#[cfg(feature = "_http")]
pub use endpoint::Endpoint;
pub use error::KmsError;
#[cfg(feature = "_http")]
pub use secret::Secret;
pub use signer::KmsSigner;
#[cfg(feature = "_http")]
pub use tls::KmsTls;
#[cfg(feature = "vault")]
pub use vault::{VaultAuth, VaultTransit, VaultTransitBuilder};
