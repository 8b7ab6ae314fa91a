//! Why a store of ids does not say whether a notification was handed over.

use std::error::Error as StdError;

use thiserror::Error;
use wxpay_auth::NonceError;
use wxpay_auth_core::internal::debug_as_report;

/// Why a store of ids does not say whether a notification was handed over. It is not handed over then, and WeChat Pay
/// sends it again.
#[derive(Error)]
#[non_exhaustive]
pub enum ReplayStoreError {
    /// The store has no room for another id.
    #[error("the store of notification ids is full: it keeps {capacity}")]
    #[non_exhaustive]
    Full {
        /// How many ids it keeps.
        capacity: usize,
    },
    /// The store does not respond, or refuses.
    #[error("the store of notification ids cannot be used: {message}")]
    #[non_exhaustive]
    Unavailable {
        /// What is wrong.
        message: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// The operating system has no randomness for a claim.
    #[error("a claim on the id of a notification cannot be created")]
    NoToken(#[from] NonceError),
    /// The code of the store panicked.
    #[error("the store of notification ids panicked")]
    Panicked,
}

impl ReplayStoreError {
    /// Creates an error of a store that is full.
    pub fn full(capacity: usize) -> Self {
        Self::Full { capacity }
    }

    /// Creates an error of a store that does not respond, or refuses. The message is lower case, one line, and contains
    /// no secret.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into(), source: None }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        if let Self::Unavailable { source, .. } = &mut self {
            *source = Some(cause.into());
        }
        self
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Full { .. } => {
                "keep more ids (MemoryReplayStore::capacity) or for a shorter time, or use a store in Redis; until \
                 then WeChat Pay sends the notifications again"
            }
            Self::Unavailable { .. } => {
                "check the store; until it responds, nothing is handed over, and WeChat Pay sends the notifications \
                 again"
            }
            Self::NoToken(_) => "check that the process may use the system's random numbers",
            Self::Panicked => "mend the code of the store",
        }
    }
}

debug_as_report!(ReplayStoreError);
