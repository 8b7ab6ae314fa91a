#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod certificates;
mod echo;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod migration;

pub use certificates::{
    CertificateDownload, CertificateError, CertificateList, CertificateListError,
    CertificateScheduler, CertificateSchedulerBuilder, CertificateState, CertificateStatus,
    DownloadVerifier, PlatformCertificate, PlatformCertificates, PublicKeyModeError, RenewalError,
    RenewingVerifier,
};
pub use echo::{Echo, EchoError, EchoRequest, Echoed};
pub use migration::{MigrationVerifier, SerialCount, SerialPreference, VerificationCounts};
