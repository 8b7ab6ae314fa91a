//! A signer that uses a new key for a share of the signatures.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::serial_no::SerialNo;
use crate::share::{Share, Spread};
use crate::signer::{Algorithm, SignError, SignErrorKind, Signature, Signer};

/// Signs a share of the messages with a new key, and all others with the current one. Use it to rotate the merchant
/// certificate: several may be valid at the same time, so a new one can prove itself first, and be given up again.
/// Clones share the signers and the share.
///
/// A signature in progress completes with the signer that began it, and its serial travels with it. An error of the
/// new signer is returned as it is: the current one does not step in, so that a new key that does not work is noticed
/// while its share is small.
///
/// The share is spread by a counter, not at random. After each change, the first signature is one of the share.
///
/// Source: <https://pay.weixin.qq.com/doc/v3/merchant/4012081992>
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// # #[cfg(feature = "file-key")]
/// # async fn rotate() -> Result<(), Box<dyn std::error::Error>> {
/// # const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/keys/merchant_private_key.pem");
/// use wxpay_auth::{CanarySigner, FileKeySigner, Share, Signer};
///
/// # let of_2026 = FileKeySigner::from_pem_file(KEY, "5F1C72E2A8931B72A2E13AF8DEE92471EB397115".parse()?)?;
/// # let of_2031 = FileKeySigner::from_pem_file(KEY, "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB".parse()?)?;
/// let signer = CanarySigner::new(of_2026, of_2031)?; // nothing is signed with the new one yet
/// let for_client = signer.clone();
/// signer.set_share(Share::new(0.01)?);
/// // … and while all is well:
/// signer.set_share(Share::ALL);
/// let signature = for_client.sign(b"message").await?;
/// assert_eq!(signature.serial_no().as_str(), "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB");
/// // If it is not, back at once:
/// signer.set_share(Share::NONE);
/// # Ok(())
/// # }
/// # #[cfg(feature = "file-key")]
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(rotate()).unwrap();
/// ```
#[derive(Clone)]
pub struct CanarySigner {
    algorithm: Algorithm,
    current: Arc<dyn Signer>,
    next: Arc<dyn Signer>,
    spread: Arc<Spread>,
}

impl CanarySigner {
    /// Creates it from the current signer and the new one. Until [`set_share`](Self::set_share), the current one signs
    /// everything.
    ///
    /// # Errors
    /// [`SignErrorKind::Unsupported`] if their algorithms differ: requests depend on it.
    pub fn new(
        current: impl Signer + 'static,
        next: impl Signer + 'static,
    ) -> Result<Self, SignError> {
        let algorithm = current.algorithm();
        if next.algorithm() != algorithm {
            let what = "the new signer has another algorithm than the current one: build a new client for it";
            return Err(SignError::new(SignErrorKind::Unsupported, what));
        }
        let spread = Arc::new(Spread::new(Share::NONE));
        Ok(Self { algorithm, current: Arc::new(current), next: Arc::new(next), spread })
    }

    /// Sets the share of the signatures that the new signer makes from now on.
    pub fn set_share(&self, share: Share) {
        self.spread.set(share);
    }

    /// Returns the share of the signatures that the new signer makes.
    pub fn share(&self) -> Share {
        self.spread.share()
    }

    /// Returns the current signer.
    pub fn current(&self) -> &Arc<dyn Signer> {
        &self.current
    }

    /// Returns the new signer.
    pub fn next(&self) -> &Arc<dyn Signer> {
        &self.next
    }

    fn chosen(&self) -> &Arc<dyn Signer> {
        if self.spread.next() { &self.next } else { &self.current }
    }
}

#[async_trait]
impl Signer for CanarySigner {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the serial if one signer signs everything; otherwise it is not known in advance.
    fn next_serial_no(&self) -> Option<SerialNo> {
        match self.share() {
            Share::NONE => self.current.next_serial_no(),
            Share::ALL => self.next.next_serial_no(),
            _ => None,
        }
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        self.chosen().sign(message).await
    }

    async fn sign_within(&self, message: &[u8], left: Duration) -> Result<Signature, SignError> {
        self.chosen().sign_within(message, left).await
    }
}

impl fmt::Debug for CanarySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CanarySigner")
            .field("current", &self.current)
            .field("next", &self.next)
            .field("share", &self.share())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "5F1C72E2A8931B72A2E13AF8DEE92471EB397115";
    const NEW: &str = "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB";

    /// Signs with its serial, or fails.
    #[derive(Debug)]
    struct Named {
        serial_no: &'static str,
        algorithm: Algorithm,
        works: bool,
    }

    #[async_trait]
    impl Signer for Named {
        fn algorithm(&self) -> Algorithm {
            self.algorithm
        }

        fn next_serial_no(&self) -> Option<SerialNo> {
            SerialNo::new(self.serial_no).ok()
        }

        async fn sign(&self, _: &[u8]) -> Result<Signature, SignError> {
            if !self.works {
                return Err(SignError::new(SignErrorKind::KeyNotFound, "no key"));
            }
            let serial_no = SerialNo::new(self.serial_no).unwrap();
            Ok(Signature::new(serial_no, self.serial_no.into()))
        }
    }

    fn named(serial_no: &'static str, works: bool) -> Named {
        Named { serial_no, algorithm: Algorithm::Sha256Rsa2048, works }
    }

    async fn signed_by_new(signer: &CanarySigner, messages: usize) -> usize {
        let mut new = 0;
        for _ in 0..messages {
            let signature = signer.sign(b"message").await.unwrap();
            assert_eq!(signature.serial_no().as_str().as_bytes(), signature.as_bytes());
            new += usize::from(signature.serial_no().as_str() == NEW);
        }
        new
    }

    #[tokio::test]
    async fn the_new_signer_signs_its_share_and_is_given_up_at_once() {
        let signer = CanarySigner::new(named(OLD, true), named(NEW, true)).unwrap();
        let held_by_client = signer.clone();
        let serial_no = || held_by_client.next_serial_no().map(|serial_no| serial_no.to_string());
        assert_eq!(signed_by_new(&held_by_client, 100).await, 0);
        assert_eq!(serial_no().as_deref(), Some(OLD));

        signer.set_share(Share::new(0.01).unwrap());
        assert_eq!(serial_no(), None, "it is not known in advance");
        let new = signed_by_new(&held_by_client, 1000).await;
        assert!((6..=14).contains(&new), "{new} of 1000");

        signer.set_share(Share::ALL);
        assert_eq!(signed_by_new(&held_by_client, 100).await, 100);
        assert_eq!(serial_no().as_deref(), Some(NEW));
        signer.set_share(Share::NONE);
        assert_eq!(signed_by_new(&held_by_client, 100).await, 0);
    }

    #[tokio::test]
    async fn a_new_key_that_does_not_work_is_noticed_and_the_current_one_does_not_step_in() {
        let signer = CanarySigner::new(named(OLD, true), named(NEW, false)).unwrap();
        signer.set_share(Share::new(0.1).unwrap());
        let mut failed = 0;
        for _ in 0..100 {
            match signer.sign_within(b"message", Duration::from_secs(1)).await {
                Ok(signature) => assert_eq!(signature.serial_no().as_str(), OLD),
                Err(error) => {
                    assert_eq!(error.kind(), SignErrorKind::KeyNotFound);
                    failed += 1;
                }
            }
        }
        assert!((7..=13).contains(&failed), "{failed} of 100");
    }

    #[test]
    fn another_algorithm_needs_another_client() {
        let other = Named { algorithm: Algorithm::Sm2WithSm3, ..named(NEW, true) };
        let error = CanarySigner::new(named(OLD, true), other).unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Unsupported);
    }
}
