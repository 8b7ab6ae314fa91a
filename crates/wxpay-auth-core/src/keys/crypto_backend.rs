//! The cryptography libraries.

use std::fmt;

/// The library that computes RSA signatures.
///
/// Both produce the same signatures, byte for byte. A feature only adds the choice: the default remains
/// [`Backend::Ring`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Backend {
    /// `ring`: small, and fast from the first call.
    #[default]
    Ring,
    /// `aws-lc-rs`: up to twice the signatures per second if the processor has AVX-512 IFMA; the first
    /// signature of a process takes tens of milliseconds.
    #[cfg(feature = "aws-lc-rs")]
    AwsLcRs,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ring => "ring",
            #[cfg(feature = "aws-lc-rs")]
            Self::AwsLcRs => "aws-lc-rs",
        })
    }
}
