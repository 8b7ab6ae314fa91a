//! Signing with keys in key services (KMS), which the keys never leave.
//!
//! [`KmsSigner`] signs with a key in a service, through a [`KmsBackend`]. Four are provided, each
//! with its feature; others can be written.
//!
//! | service | feature of `wxpay-auth` | back end |
//! |---|---|---|
//! | `HashiCorp` Vault, OpenBao (Transit) | `kms-vault` | `VaultTransit` |
//! | Tencent Cloud KMS | `kms-tencent` | `TencentKms` |
//! | Alibaba Cloud KMS | `kms-alibaba` | `AlibabaKms` |
//! | AWS KMS | `kms-aws` | `AwsKms` |
//!
//! - The signature is padded to the length of the modulus and verified before it is returned: this
//!   detects a service that defaults to PSS, hashes a digest again, or signs with another key.
//! - The serial and the version of the key are bound when the signer connects: a rotation in the
//!   service has no effect until a new signer connects.
//! - Concurrency, queue, time and attempts are limited. Throttled and transient failures are
//!   retried, after the wait that the service asks for, or with back-off.
//!
//! [`KmsDecryptor`] decrypts sensitive fields (敏感信息) with a key in AWS KMS or Alibaba Cloud KMS.
//!
//! Permissions, set-up, limits, latency, rotation: `docs/kms.md` in the repository.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "aws")]
mod aws;
mod backend;
mod backoff;
mod builder;
#[cfg(feature = "_access-key")]
mod cloud;
#[cfg(feature = "_http")]
mod credentials;
mod decryptor;
mod decryptor_builder;
mod error;
#[cfg(all(fuzzing, feature = "vault", feature = "tencent", feature = "alibaba"))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
#[doc(hidden)]
pub mod internal;
mod request_limits;
#[cfg(any(feature = "_http", feature = "aws-config"))]
mod runtimes;
#[cfg(feature = "_http")]
mod secret;
mod signer;
#[cfg(feature = "vault")]
mod vault;

#[cfg(feature = "_access-key")]
#[cfg_attr(docsrs, doc(cfg(any(feature = "alibaba", feature = "tencent"))))]
pub use crate::credentials::provider::{CredentialProvider, Credentials};
#[cfg(feature = "_endpoint")]
#[cfg_attr(
    docsrs,
    doc(cfg(any(
        feature = "alibaba",
        feature = "aws-config",
        feature = "tencent",
        feature = "vault"
    )))
)]
pub use crate::http::endpoint::Endpoint;
#[cfg(feature = "_http")]
#[cfg_attr(docsrs, doc(cfg(any(feature = "alibaba", feature = "tencent", feature = "vault"))))]
pub use crate::http::tls::KmsTls;
#[cfg(feature = "aws")]
pub use aws::AwsKms;
pub use backend::{KmsBackend, KmsKey};
pub use builder::KmsSignerBuilder;
#[cfg(feature = "alibaba")]
pub use cloud::alibaba::{AlibabaCloud, AlibabaKms, AlibabaKmsBuilder, AlibabaRole};
#[cfg(feature = "tencent")]
pub use cloud::tencent::{TencentCloud, TencentKms, TencentKmsBuilder, TencentRole};
#[cfg(feature = "_access-key")]
#[cfg_attr(docsrs, doc(cfg(any(feature = "alibaba", feature = "tencent"))))]
pub use cloud::{builder::CloudKmsBuilder, kms::CloudKms, role::CloudRole};
pub use decryptor::KmsDecryptor;
pub use decryptor_builder::KmsDecryptorBuilder;
pub use error::KmsError;
#[cfg(feature = "_http")]
#[cfg_attr(docsrs, doc(cfg(any(feature = "alibaba", feature = "tencent", feature = "vault"))))]
pub use secret::Secret;
pub use signer::KmsSigner;
#[cfg(feature = "vault")]
pub use vault::{VaultAuth, VaultTransit, VaultTransitBuilder};
