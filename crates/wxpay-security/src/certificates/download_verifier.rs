//! Verifies the response that brings the keys it is verified with.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use wxpay_auth::{
    Certificate, KeyRing, NotReady, ResourceDecryptor, SignedMessage, Timestamp, Verifier,
    VerifyError, WechatpaySerial,
};

use crate::certificates::list::{self, PlatformCertificate};
use crate::certificates::list_error::CertificateListError;

/// Verifies the download of platform certificates, also the first one, when no key is held yet.
///
/// If the key ring holds the key that the response names, it decides. Otherwise the list in the response is decrypted
/// with the APIv3 key, which nobody but WeChat Pay and the merchant has and whose AES-GCM authenticates it, and the
/// signature must match the certificate of that serial in it. So nothing unverified is ever returned, and a response
/// with anything but such a list is not accepted.
///
/// Use it only for the client that downloads platform certificates: it is always
/// [ready](Verifier::readiness). Clones share the ring and the decryptor.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012073263>
#[derive(Clone)]
pub struct DownloadVerifier {
    ring: KeyRing,
    decryptor: Arc<dyn ResourceDecryptor>,
    root: Option<Arc<Certificate>>,
}

impl DownloadVerifier {
    /// Creates it for a ring, which may be empty, and what holds the APIv3 key
    /// ([`ApiV3Key`](wxpay_auth::ApiV3Key), in most cases).
    pub fn new(ring: KeyRing, decryptor: impl ResourceDecryptor + 'static) -> Self {
        Self { ring, decryptor: Arc::new(decryptor), root: None }
    }

    /// Requires that this authority issued each certificate: `Tenpay.com Root CA`, which is in the file
    /// `CertTrustChain.p7b`. The default is to trust what the APIv3 key decrypts.
    ///
    /// It is the direct issuer of platform certificates. Its own validity and issuer are not checked.
    ///
    /// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012073263>
    #[must_use]
    pub fn with_root(mut self, root: Certificate) -> Self {
        self.root = Some(Arc::new(root));
        self
    }

    /// Returns the ring.
    pub fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// Decrypts and checks a list.
    pub(super) async fn read(
        &self,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Vec<PlatformCertificate>, CertificateListError> {
        list::read(body, &*self.decryptor, self.root.as_deref(), now).await
    }

    /// Verifies a message with a certificate of the list in it.
    async fn verify_with_own_list(&self, message: SignedMessage<'_>) -> Result<(), VerifyError> {
        let (serial, now) = (message.serial(), message.now());
        // Shared, so that it can be taken out of the error of the transport (see `CertificateError`).
        let unavailable = |error| VerifyError::unavailable(serial.clone(), Arc::new(error));
        let missing =
            || unavailable(CertificateListError::SignerMissing { serial: serial.clone() });
        if serial.is_public_key_id() {
            return Err(missing());
        }
        let body = body_of(message.message()).unwrap_or_default();
        let certificates = self.read(body, now).await.map_err(unavailable)?;
        let signer = certificates.iter().find(|listed| listed.serial == *serial);
        let signer = signer.ok_or_else(missing)?;
        let ring = KeyRing::with_clock(move || now);
        ring.insert_certificate(&signer.certificate)
            .map_err(|e| unavailable(CertificateListError::certificate(serial.as_str(), e)))?;
        ring.verify(message).await
    }
}

#[async_trait]
impl Verifier for DownloadVerifier {
    /// Returns `None`: the download has no such header, and a `PUB_KEY_ID_…` there would count as a call by public key.
    fn preferred_serial(&self, _: Timestamp) -> Option<WechatpaySerial> {
        None
    }

    /// Returns `Ok(())`: the response brings its key.
    fn readiness(&self, _: Timestamp) -> Result<(), NotReady> {
        Ok(())
    }

    async fn verify(&self, message: SignedMessage<'_>) -> Result<(), VerifyError> {
        match self.ring.verify(message).await {
            Err(VerifyError::UnknownSerial { .. }) => self.verify_with_own_list(message).await,
            result => result,
        }
    }
}

impl fmt::Debug for DownloadVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownloadVerifier")
            .field("ring", &self.ring)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// Returns the body in a signed message: timestamp, nonce and body, each ended by a line end. Neither of the first two
/// is a header value with a line end, which HTTP does not allow.
fn body_of(message: &[u8]) -> Option<&[u8]> {
    let body = message.splitn(3, |byte| *byte == b'\n').nth(2)?;
    body.strip_suffix(b"\n")
}

#[cfg(test)]
mod tests {
    use wxpay_auth::response_message;

    use super::*;

    #[test]
    fn the_body_is_what_was_signed() {
        for body in [&b"{}"[..], b"", b"\n", b"a\nb\n\n"] {
            assert_eq!(body_of(&response_message("1", "n", body)), Some(body));
        }
        assert_eq!(body_of(b"1\nn"), None);
    }

    #[test]
    fn the_api_v3_key_is_not_shown() {
        let text = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb";
        let key = wxpay_auth::ApiV3Key::new(text).unwrap();
        let shown = format!("{:?}", DownloadVerifier::new(KeyRing::new(), key));
        assert!(shown.contains("KeyRing") && !shown.contains(&text[..6]), "{shown}");
    }
}
