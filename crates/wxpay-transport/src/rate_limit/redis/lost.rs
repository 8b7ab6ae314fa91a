//! Why a store gives no usable response.

use thiserror::Error;

/// Why there was no usable response. Contains no secret, so no server text beyond a code.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Lost {
    #[error("there was no response in time")]
    Slow,
    #[error("there is no connection")]
    Connection,
    #[error("the TLS connection cannot be made")]
    Tls,
    #[error("the response was an error: {0}")]
    Refused(String),
    #[error("the response was too long")]
    TooLong,
    #[error("the response is impossible")]
    Untrue,
    #[error(
        "a key was lost or overwritten: set maxmemory-policy to noeviction, and flush nothing there"
    )]
    Forgotten,
}
