//! Items shared by the crates of this workspace outside the public API. Any release may change them, so other
//! crates must not depend on them.

pub use wxpay_auth_core::internal::{Number, SentTexts, invisible, log, panics, serde_as_text};
