//! What applications see: signers by an address, and no secret.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

#[cfg(feature = "file-key")]
mod leaks;
#[cfg(feature = "file-key")]
mod log;
#[cfg(feature = "file-key")]
mod misplaced_secrets;
#[cfg(feature = "file-key")]
mod secret_errors;
#[cfg(feature = "file-key")]
mod secrets;
mod signer_uri;
