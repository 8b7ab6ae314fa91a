//! The claim on an id.

use std::fmt;

use wxpay_auth::{Nonce, NonceError, NonceSource, SystemNonce, foreign_text};

/// A claim on the id of a notification: the id, and a random token that tells it from other claims on the same id.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    id: Box<str>,
    token: Nonce,
}

impl Claim {
    /// Creates a claim on an id, with a fresh token.
    ///
    /// # Errors
    /// [`NonceError`] if the operating system has no randomness.
    pub fn new(id: &str) -> Result<Self, NonceError> {
        Ok(Self { id: id.into(), token: SystemNonce::new().nonce()? })
    }

    /// Returns the id of the notification. WeChat Pay has signed it; its length is not limited.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the token: 32 letters and digits.
    pub fn token(&self) -> &str {
        self.token.as_str()
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 64;
        f.debug_struct("Claim")
            .field("id", &foreign_text(&self.id, LONGEST, &[]))
            .finish_non_exhaustive()
    }
}
