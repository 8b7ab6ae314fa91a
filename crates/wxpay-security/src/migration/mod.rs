//! The move from platform certificates to the WeChat Pay public key, and back.

mod counts;
mod preference;
mod verifier;

pub use self::counts::{SerialCount, VerificationCounts};
pub use self::preference::SerialPreference;
pub use self::verifier::MigrationVerifier;
