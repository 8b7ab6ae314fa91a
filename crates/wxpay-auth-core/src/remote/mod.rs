//! Items shared by signers whose key is in a token or a key service.

mod checked_signature;
mod failure_details;
mod secret_source;
mod serial_source;

pub use self::checked_signature::{PROBE, checked_signature};
pub use self::failure_details::FailureDetails;
pub use self::secret_source::{SecretSource, UnreadSecret, credential_hint};
pub use self::serial_source::SerialSource;
