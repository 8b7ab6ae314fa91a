//! Signers on scripted key services.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::struct_excessive_bools,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod guarded_calls;
mod kms_decryptor;
mod kms_signer;
mod panicking;
#[cfg(feature = "vault")]
mod vault_approval;
#[cfg(feature = "vault")]
mod vault_tokens;
