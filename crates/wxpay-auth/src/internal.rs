//! What the crates of this workspace share beside the public API. It is none itself: any release may change
//! it, so nobody else may depend on it.

pub use wxpay_auth_core::internal::{Number, invisible, serde_as_text};
