//! Keys in key services (KMS), which they never leave.
//!
//! [`KmsSigner`] signs with a key in a service that a [`KmsBackend`] talks to. There are four, each
//! with a feature of its own; anybody can write another one.
//!
//! | service | feature | back end |
//! |---|---|---|
//! | `HashiCorp` Vault, OpenBao (Transit) | `vault` | `VaultTransit` |
//! | Tencent Cloud KMS | `tencent-kms` | `TencentKms` |
//! | Alibaba Cloud KMS | `alibaba-kms` | `AlibabaKms` |
//! | AWS KMS | `aws-kms` | `AwsKms` |
//!
//! - The signature is padded to the length of the modulus and verified before it is returned: this
//!   catches a service that defaults to PSS, hashes a digest again, or signs with another key.
//! - Serial and version of the key belong together from the beginning: a rotation in the service
//!   changes nothing until a new signer is connected.
//! - Concurrency, queue, time and attempts are bounded. What is throttled or fails in passing is
//!   tried again, after the wait that the service names, or with back-off.
//!
//! Permissions, set-up, limits, latency, rotation: `docs/kms.md` in the repository.

#[cfg(feature = "_access-key")]
mod access_key;
#[cfg(feature = "alibaba-kms")]
mod alibaba;
#[cfg(feature = "aws-kms")]
mod aws;
mod backend;
mod backoff;
mod builder;
mod calls;
#[cfg(feature = "_endpoint")]
mod endpoint;
mod error;
#[cfg(feature = "_http")]
mod flight;
#[cfg(all(fuzzing, feature = "vault", feature = "tencent-kms", feature = "alibaba-kms"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "_http")]
mod http;
#[cfg(any(feature = "_http", feature = "aws-kms"))]
mod retry_after;
#[cfg(feature = "_http")]
mod secret;
mod signer;
#[cfg(any(feature = "_http", feature = "aws-kms"))]
mod status;
#[cfg(feature = "tencent-kms")]
mod tencent;
#[cfg(feature = "_http")]
mod tls;
#[cfg(feature = "vault")]
mod vault;

#[cfg(feature = "_access-key")]
pub use access_key::{CredentialProvider, Credentials};
#[cfg(feature = "alibaba-kms")]
pub use alibaba::{AlibabaKms, AlibabaKmsBuilder, AlibabaRole};
#[cfg(feature = "aws-kms")]
pub use aws::AwsKms;
pub use backend::{KmsBackend, KmsKey};
pub use builder::KmsSignerBuilder;
#[cfg(feature = "_endpoint")]
pub use endpoint::Endpoint;
#[cfg(any(feature = "_access-key", feature = "aws-config"))]
pub(crate) use endpoint::is_region;
pub use error::KmsError;
#[cfg(feature = "_http")]
pub use secret::Secret;
pub use signer::KmsSigner;
#[cfg(feature = "tencent-kms")]
pub use tencent::{TencentKms, TencentKmsBuilder, TencentRole};
#[cfg(feature = "_http")]
pub use tls::KmsTls;
#[cfg(feature = "vault")]
pub use vault::{VaultAuth, VaultTransit, VaultTransitBuilder};
