//! Parsers that are not public, for fuzzing.

use wxpay_auth::{Certificate, ResourceDecryptor, Timestamp};

use crate::{CertificateListError, PlatformCertificate};

/// Reads a list of platform certificates.
///
/// # Errors
/// [`CertificateListError`].
pub async fn certificate_list(
    body: &[u8],
    decryptor: &dyn ResourceDecryptor,
    root: Option<&Certificate>,
    now: Timestamp,
) -> Result<Vec<PlatformCertificate>, CertificateListError> {
    crate::certificates::read(body, decryptor, root, now).await
}
