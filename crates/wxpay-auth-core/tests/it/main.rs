//! Keys, certificates, signatures and verification, as other crates use them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

#[cfg(all(feature = "aws-lc-rs", feature = "file-key"))]
mod backends;
#[cfg(feature = "file-key")]
mod certificate_request;
#[cfg(feature = "file-key")]
mod damaged_keys;
#[cfg(feature = "file-key")]
mod file_key_signer;
mod guarded_calls;
#[cfg(feature = "file-key")]
mod key_forms;
#[cfg(feature = "file-key")]
mod key_ring;
#[cfg(feature = "file-key")]
mod key_swap;
#[cfg(all(feature = "aws-lc-rs", feature = "file-key"))]
mod sensitive_fields;
#[cfg(feature = "file-key")]
mod serial_spelling;
#[cfg(feature = "file-key")]
mod vectors;
mod verify_response;
#[cfg(feature = "file-key")]
mod wrong_keys;
