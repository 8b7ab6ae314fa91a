//! The libraries that do the arithmetic.

use std::fmt;

/// Names the library that computes RSA signatures.
///
/// Both give the same signatures, byte for byte. A feature only adds the choice: the default stays
/// [`Backend::Ring`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Backend {
    /// `ring`: light, and fast from the first call on.
    #[default]
    Ring,
    /// `aws-lc-rs`: up to twice the signatures per second, where the processor has AVX-512 IFMA; the
    /// first signature of a process takes tens of milliseconds.
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
