//! Signers on scripted key services.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::struct_excessive_bools,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod kms_signer;
#[cfg(feature = "vault")]
mod vault_approval;
#[cfg(feature = "vault")]
mod vault_tokens;
