//! Platform certificates: downloaded, verified, renewed.

#[cfg(test)]
mod double;
mod download;
mod download_verifier;
mod due;
mod error;
mod flight;
mod list;
mod list_error;
mod platform_certificates;
mod progress;
mod renewing_verifier;
mod schedule;
mod scheduler;
mod status;
mod wire;

pub use self::download::CertificateDownload;
pub use self::download_verifier::DownloadVerifier;
pub use self::error::{CertificateError, PublicKeyModeError};
#[cfg(fuzzing)]
pub(crate) use self::list::read;
pub use self::list::{CertificateList, PlatformCertificate};
pub use self::list_error::CertificateListError;
pub use self::platform_certificates::PlatformCertificates;
pub use self::renewing_verifier::{RenewalError, RenewingVerifier};
pub use self::scheduler::{CertificateScheduler, CertificateSchedulerBuilder};
pub use self::status::{CertificateState, CertificateStatus};
