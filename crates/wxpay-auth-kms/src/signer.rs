//! A signer for a key in a key service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ring::digest;
use tokio::time::Instant;
use wxpay_auth_core::internal::remote::{PROBE, checked_signature};
use wxpay_auth_core::{
    Algorithm, PublicKey, SerialNo, SignError, SignErrorKind, Signature, Signer,
};

use crate::backend::{KmsBackend, KmsKey};
use crate::builder::KmsSignerBuilder;
use crate::error::KmsError;
use crate::request_limits::RequestLimiter;

/// Signs with a key in a key service (KMS), which the key never leaves.
///
/// It hashes the message, has the service sign the digest, pads the signature to the length of the
/// modulus, and verifies it before returning it. Concurrency and time are limited; throttled and
/// transient failures are retried with back-off, since signing twice is harmless.
///
/// Clones share all state. Needs a Tokio runtime with timers.
///
/// ```
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod kms { pub use wxpay_auth_kms::*; } }
/// # use async_trait::async_trait;
/// # use wxpay_auth::kms::{KmsBackend, KmsError, KmsKey};
/// # use wxpay_auth::{PrivateKey, SignErrorKind};
/// # #[derive(Debug)]
/// # struct OurVault(PrivateKey);
/// # #[async_trait]
/// # impl KmsBackend for OurVault {
/// #     async fn public_key(&self) -> Result<KmsKey, KmsError> {
/// #         Ok(KmsKey::new(self.0.public_key().clone()))
/// #     }
/// #     async fn sign_sha256(&self, _: &KmsKey, _: &[u8; 32]) -> Result<Vec<u8>, KmsError> {
/// #         Ok(self.0.sign(b"is this the key?").unwrap())
/// #     }
/// # }
/// use wxpay_auth::Certificate;
/// use wxpay_auth::kms::KmsSigner;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let key = include_str!("../testdata/keys/merchant_private_key.pem");
/// # let our_vault = OurVault(PrivateKey::from_pem(key).unwrap());
/// # let pem = include_str!("../testdata/keys/merchant_certificate.pem");
/// let signer = KmsSigner::builder(our_vault)
///     .certificate(Certificate::from_pem(pem)?)
///     .concurrency(50)
///     .connect()
///     .await?;
/// println!("signing as {}", signer.serial_no());
/// # Ok(())
/// # }
/// ```
pub struct KmsSigner<B> {
    shared: Arc<SignerState<B>>,
}

struct SignerState<B> {
    backend: B,
    key: KmsKey,
    serial_no: SerialNo,
    limiter: RequestLimiter,
}

impl<B: KmsBackend> KmsSigner<B> {
    /// Returns a builder.
    pub fn builder(backend: B) -> KmsSignerBuilder<B> {
        KmsSignerBuilder::new(backend)
    }

    pub(crate) fn new(
        backend: B,
        key: KmsKey,
        serial_no: SerialNo,
        limiter: RequestLimiter,
    ) -> Self {
        Self { shared: Arc::new(SignerState { backend, key, serial_no, limiter }) }
    }

    async fn sign_checked(&self, message: &[u8], left: Duration) -> Result<Vec<u8>, KmsError> {
        let SignerState { backend, key, limiter, .. } = &*self.shared;
        let digest = sha256(message);
        let signature = limiter.run_within(left, || backend.sign_sha256(key, &digest)).await?;
        checked(key.public_key(), message, signature)
    }

    /// Makes a test signature: a service may return a public key and then refuse to sign.
    pub(crate) async fn try_out(&self, deadline: Instant) -> Result<(), KmsError> {
        let SignerState { backend, key, limiter, .. } = &*self.shared;
        let digest = sha256(PROBE);
        let signature = limiter.run_until(deadline, || backend.sign_sha256(key, &digest)).await?;
        checked(key.public_key(), PROBE, signature).map(drop)
    }

    /// Returns the serial of the merchant certificate.
    pub fn serial_no(&self) -> &SerialNo {
        &self.shared.serial_no
    }

    /// Returns the public key.
    pub fn public_key(&self) -> &PublicKey {
        self.shared.key.public_key()
    }

    /// Returns the version of the key that it signs with, if the service has versions.
    pub fn key_version(&self) -> Option<&str> {
        self.shared.key.version()
    }

    /// Returns the number of queued signatures.
    pub fn waiting(&self) -> usize {
        self.shared.limiter.waiting()
    }

    /// Returns the back end.
    pub fn backend(&self) -> &B {
        &self.shared.backend
    }
}

#[async_trait]
impl<B: KmsBackend> Signer for KmsSigner<B> {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Sha256Rsa2048
    }

    fn next_serial_no(&self) -> Option<SerialNo> {
        Some(self.serial_no().clone())
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        self.sign_within(message, Duration::MAX).await
    }

    async fn sign_within(&self, message: &[u8], left: Duration) -> Result<Signature, SignError> {
        let bytes = self.sign_checked(message, left).await?;
        Ok(Signature::new(self.serial_no().clone(), bytes))
    }
}

fn sha256(message: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, message).as_ref());
    bytes
}

fn checked(
    public_key: &PublicKey,
    message: &[u8],
    signature: Vec<u8>,
) -> Result<Vec<u8>, KmsError> {
    checked_signature(public_key, message, signature).ok_or_else(|| {
        KmsError::new(
            SignErrorKind::InvalidSignature,
            "the signature that the key service returned does not verify",
        )
    })
}

impl<B> Clone for KmsSigner<B> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<B: KmsBackend> fmt::Debug for KmsSigner<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsSigner")
            .field("serial_no", self.serial_no())
            .field("key_version", &self.key_version())
            .field("backend", self.backend())
            .finish_non_exhaustive()
    }
}
