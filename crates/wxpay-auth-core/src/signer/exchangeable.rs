//! A signer whose key can be exchanged at run time.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;

use crate::serial_no::SerialNo;
use crate::signer::{Algorithm, SignError, SignErrorKind, Signature, Signer};

/// Delegates to a signer that can be exchanged at run time, like the keys of a [`KeyRing`](crate::KeyRing). Use
/// it to switch to a new merchant certificate without a new client. Clones share the signer.
///
/// A signature in progress completes with the signer that began it. The serial travels with each signature,
/// so none is sent with the serial of another key.
///
/// ```
/// # extern crate wxpay_auth_core as wxpay_auth;
/// # #[cfg(feature = "file-key")]
/// # async fn rotate() -> Result<(), wxpay_auth::SignError> {
/// # const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/keys/merchant_private_key.pem");
/// use wxpay_auth::{ExchangeableSigner, FileKeySigner, Signer};
///
/// # let of_2026 = FileKeySigner::from_pem_file(KEY, "5F1C72E2A8931B72A2E13AF8DEE92471EB397115".parse().unwrap()).unwrap();
/// # let of_2027 = FileKeySigner::from_pem_file(KEY, "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB".parse().unwrap()).unwrap();
/// let signer = ExchangeableSigner::new(of_2026);
/// let for_client = signer.clone();
/// // Once the new certificate is valid:
/// signer.exchange(of_2027)?;
/// let signature = for_client.sign(b"message").await?;
/// assert_eq!(signature.serial_no().as_str(), "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB");
/// # Ok(())
/// # }
/// # #[cfg(feature = "file-key")]
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(rotate()).unwrap();
/// ```
#[derive(Clone)]
pub struct ExchangeableSigner {
    algorithm: Algorithm,
    current: Arc<ArcSwap<Arc<dyn Signer>>>,
}

impl ExchangeableSigner {
    /// Creates it with this signer.
    pub fn new(signer: impl Signer + 'static) -> Self {
        let signer: Arc<dyn Signer> = Arc::new(signer);
        Self { algorithm: signer.algorithm(), current: Arc::new(ArcSwap::from_pointee(signer)) }
    }

    /// Uses this signer from now on, and returns the previous one, which may still be in use.
    ///
    /// # Errors
    /// [`SignErrorKind::Unsupported`] if its algorithm differs (requests depend on it), or if it is this signer
    /// itself. A custom signer that delegates to this one would recurse forever.
    pub fn exchange(&self, signer: impl Signer + 'static) -> Result<Arc<dyn Signer>, SignError> {
        let same = (&signer as &dyn Any).downcast_ref::<Self>();
        if same.is_some_and(|same| Arc::ptr_eq(&same.current, &self.current)) {
            let what = "a signer cannot be exchanged for itself";
            return Err(SignError::new(SignErrorKind::Unsupported, what));
        }
        if signer.algorithm() != self.algorithm {
            let what = "the new signer has another algorithm than the previous one: build a new client for it";
            return Err(SignError::new(SignErrorKind::Unsupported, what));
        }
        let before = self.current.swap(Arc::new(Arc::new(signer)));
        Ok(Arc::clone(&before))
    }

    /// Returns the current signer.
    pub fn current(&self) -> Arc<dyn Signer> {
        Arc::clone(&self.current.load())
    }
}

#[async_trait]
impl Signer for ExchangeableSigner {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn next_serial_no(&self) -> Option<SerialNo> {
        self.current().next_serial_no()
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        self.current().sign(message).await
    }

    async fn sign_within(&self, message: &[u8], left: Duration) -> Result<Signature, SignError> {
        self.current().sign_within(message, left).await
    }
}

impl fmt::Debug for ExchangeableSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExchangeableSigner").field(&self.current()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "5F1C72E2A8931B72A2E13AF8DEE92471EB397115";
    const NEW: &str = "408B07E79B8269FEC3D5D3E6AB8ED163A6A380DB";

    /// Signs with its serial, after it is released.
    #[derive(Debug)]
    struct Named(&'static str, Arc<tokio::sync::Semaphore>);

    #[async_trait]
    impl Signer for Named {
        fn algorithm(&self) -> Algorithm {
            Algorithm::Sha256Rsa2048
        }

        fn next_serial_no(&self) -> Option<SerialNo> {
            SerialNo::new(self.0).ok()
        }

        async fn sign(&self, _: &[u8]) -> Result<Signature, SignError> {
            self.1.acquire().await.unwrap().forget();
            Ok(Signature::new(SerialNo::new(self.0).unwrap(), self.0.into()))
        }
    }

    fn named(serial_no: &'static str, permits: usize) -> (Named, Arc<tokio::sync::Semaphore>) {
        let semaphore = Arc::new(tokio::sync::Semaphore::new(permits));
        (Named(serial_no, Arc::clone(&semaphore)), semaphore)
    }

    #[tokio::test]
    async fn a_signature_that_has_begun_ends_with_its_signer() {
        let (old, let_go) = named(OLD, 0);
        let signer = ExchangeableSigner::new(old);
        let begun = tokio::spawn({
            let signer = signer.clone();
            async move { signer.sign(b"message").await }
        });
        tokio::task::yield_now().await;
        assert_eq!(signer.next_serial_no().unwrap().as_str(), OLD);
        signer.exchange(named(NEW, 1).0).unwrap();
        let forwarded: Arc<dyn Signer> = Arc::new(Box::new(signer.clone()));
        for signer in [&signer as &dyn Signer, &&signer, &forwarded] {
            assert_eq!(signer.next_serial_no().unwrap().as_str(), NEW);
        }
        assert_eq!(signer.sign(b"message").await.unwrap().serial_no().as_str(), NEW);
        let_go.add_permits(1);
        assert_eq!(begun.await.unwrap().unwrap().serial_no().as_str(), OLD);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn serial_and_bytes_come_from_one_signer_while_they_are_exchanged() {
        const SIGNATURES: usize = 10_000;
        let signer = ExchangeableSigner::new(named(OLD, SIGNATURES).0);
        let signing = tokio::spawn({
            let signer = signer.clone();
            async move {
                for _ in 0..SIGNATURES {
                    let signature = signer.sign(b"message").await.unwrap();
                    assert_eq!(signature.serial_no().as_str().as_bytes(), signature.as_bytes());
                }
            }
        });
        for serial_no in [NEW, OLD].into_iter().cycle() {
            signer.exchange(named(serial_no, SIGNATURES).0).unwrap();
            if signing.is_finished() {
                break;
            }
            tokio::task::yield_now().await;
        }
        signing.await.unwrap();
    }

    /// Has an algorithm other than the current one.
    #[derive(Debug)]
    struct Other;

    #[async_trait]
    impl Signer for Other {
        fn algorithm(&self) -> Algorithm {
            Algorithm::Sm2WithSm3
        }

        async fn sign(&self, _: &[u8]) -> Result<Signature, SignError> {
            unreachable!("it is never asked")
        }
    }

    #[tokio::test]
    async fn it_is_not_exchanged_for_itself() {
        let signer = ExchangeableSigner::new(named(OLD, 2).0);
        let error = signer.exchange(signer.clone()).unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Unsupported);
        // A different signer of this type may be nested.
        signer.exchange(ExchangeableSigner::new(named(NEW, 2).0)).unwrap();
        assert_eq!(signer.sign(b"message").await.unwrap().serial_no().as_str(), NEW);
    }

    #[test]
    fn another_algorithm_needs_another_client() {
        let signer = ExchangeableSigner::new(named(OLD, 1).0);
        let error = signer.exchange(Other).unwrap_err();
        assert_eq!(error.kind(), SignErrorKind::Unsupported);
    }
}
