//! What makes a store forget.

use std::fmt;

#[cfg(feature = "redis")]
use wxpay_auth::foreign_text;

/// Something that makes a store of ids forget, so that a notification could be handed over twice.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreFinding {
    /// The ids are in the memory of this process.
    InMemory,
    /// The server evicts keys when its memory is full.
    #[non_exhaustive]
    Evicts {
        /// Its `maxmemory-policy`.
        policy: String,
    },
    /// The server writes no append-only file, so that a restart forgets.
    NotPersistent,
    /// A crash of the server forgets what it has not written yet.
    #[non_exhaustive]
    LosesTheLast {
        /// Its `appendfsync`.
        appendfsync: String,
    },
    /// The server has replicas: one that takes over has not seen what was written last.
    #[non_exhaustive]
    AsynchronousReplicas {
        /// Their number.
        replicas: usize,
    },
    /// The server does not say how it is set.
    #[non_exhaustive]
    NotKnown {
        /// The name of the setting.
        setting: &'static str,
    },
}

impl StoreFinding {
    #[cfg(feature = "redis")]
    pub(crate) fn evicts(policy: &str) -> Self {
        Self::Evicts { policy: short(policy) }
    }

    #[cfg(feature = "redis")]
    pub(crate) fn loses_the_last(appendfsync: &str) -> Self {
        Self::LosesTheLast { appendfsync: short(appendfsync) }
    }

    /// Returns what to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::InMemory => {
                "use a store in Redis if there is more than one process, or if a restart must not forget"
            }
            Self::Evicts { .. } => "set maxmemory-policy noeviction",
            Self::NotPersistent => "set appendonly yes",
            Self::LosesTheLast { .. } => "set appendfsync always",
            Self::AsynchronousReplicas { .. } => {
                "let the application check ids itself: a fail-over may forget the last ones"
            }
            Self::NotKnown { .. } => {
                "see in the settings of the service that maxmemory-policy is noeviction and appendfsync always"
            }
        }
    }
}

impl fmt::Display for StoreFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InMemory => f.write_str("the ids of notifications are kept by this process only"),
            Self::Evicts { policy } => {
                write!(f, "the server evicts keys (maxmemory-policy {policy})")
            }
            Self::NotPersistent => f.write_str("a restart of the server forgets (appendonly no)"),
            Self::LosesTheLast { appendfsync } => {
                write!(f, "a crash of the server forgets the last ids (appendfsync {appendfsync})")
            }
            Self::AsynchronousReplicas { replicas } => {
                write!(f, "a fail-over to one of the {replicas} replicas may forget the last ids")
            }
            Self::NotKnown { setting } => write!(f, "the server does not say its {setting}"),
        }
    }
}

/// Makes the text of a server safe for a log.
#[cfg(feature = "redis")]
fn short(text: &str) -> String {
    const LONGEST: usize = 40;
    foreign_text(text, LONGEST, &[])
}
