//! A signer for a key in a PKCS#11 token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wxpay_auth_core::{Algorithm, PublicKey, SerialNo, SignError, Signature, Signer};

use crate::builder::Pkcs11SignerBuilder;
use crate::decryptor::Pkcs11Decryptor;
use crate::error::Pkcs11Error;
use crate::uri::Pkcs11Uri;
use crate::worker::Workers;

/// Signs with a private key in a PKCS#11 token (an HSM), which the key never leaves.
///
/// A pool of threads, each with its own session, signs the messages of a bounded queue; the async
/// runtime is never blocked. Each signature is verified before it is returned. It recovers from a
/// lost session, a lost login, a token that was away, and a module that needs a restart, once per
/// signature, before it returns an error.
///
/// Clones and decryptors share threads and sessions, which end with the last of them, or with
/// [`shut_down`](Self::shut_down).
///
/// ```no_run
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod pkcs11 { pub use wxpay_auth_pkcs11::*; } }
/// use wxpay_auth::Signer;
/// use wxpay_auth::pkcs11::Pkcs11Signer;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let signer = Pkcs11Signer::connect(
///     "pkcs11:token=wxpay;object=merchant\
///         ?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/secrets/hsm_pin",
/// )
/// .await?;
/// println!("signing as {}", signer.serial_no());
/// let signature = signer.sign(b"message").await?;
/// # let _ = signature;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Pkcs11Signer {
    workers: Arc<Workers>,
    key: SignerKey,
    timeout: Duration,
}

/// The key of a signer, as it was found on the token.
#[derive(Clone)]
pub(crate) struct SignerKey {
    pub(crate) public_key: PublicKey,
    pub(crate) serial_no: SerialNo,
    /// Whether it may also decrypt, or the token does not say.
    pub(crate) may_decrypt: bool,
}

impl Pkcs11Signer {
    /// Connects to the key at a PKCS#11 URI, whose merchant certificate is also on the token.
    ///
    /// # Errors
    /// As [`Pkcs11SignerBuilder::connect`], and if the URI is malformed.
    pub async fn connect(uri: &str) -> Result<Self, Pkcs11Error> {
        Self::builder(uri.parse()?).connect().await
    }

    /// Returns a builder.
    pub fn builder(uri: Pkcs11Uri) -> Pkcs11SignerBuilder {
        Pkcs11SignerBuilder::new(uri)
    }

    pub(crate) fn new(workers: Workers, key: SignerKey, timeout: Duration) -> Self {
        Self { workers: Arc::new(workers), key, timeout }
    }

    /// Returns a decryptor for sensitive fields (敏感信息) with the same key, on the threads and sessions of this
    /// signer. Its time limit is that of a signature.
    ///
    /// # Errors
    /// [`Pkcs11Error::KeyCannotDecrypt`] if the key may only sign.
    pub fn decryptor(&self) -> Result<Pkcs11Decryptor, Pkcs11Error> {
        if !self.key.may_decrypt {
            return Err(Pkcs11Error::KeyCannotDecrypt);
        }
        let (workers, serial_no) = (Arc::clone(&self.workers), self.key.serial_no.clone());
        Ok(Pkcs11Decryptor::new(workers, serial_no, self.timeout))
    }

    /// Returns the serial of the merchant certificate.
    pub fn serial_no(&self) -> &SerialNo {
        &self.key.serial_no
    }

    /// Returns the public key.
    pub fn public_key(&self) -> &PublicKey {
        &self.key.public_key
    }

    /// Returns the number of queued signatures.
    pub fn waiting(&self) -> usize {
        self.workers.waiting()
    }

    /// Accepts no more signatures, completes the accepted ones, and closes the sessions. This also
    /// shuts down clones, and decryptors. Call it before the process ends: many modules do not tolerate an exit
    /// during a call.
    ///
    /// # Errors
    /// [`Pkcs11Error::Timeout`] if the token still hangs after twice the time limit of a signature.
    pub async fn shut_down(&self) -> Result<(), Pkcs11Error> {
        self.workers.shut_down(self.timeout.saturating_mul(2)).await
    }
}

#[async_trait]
impl Signer for Pkcs11Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Sha256Rsa2048
    }

    fn next_serial_no(&self) -> Option<SerialNo> {
        Some(self.key.serial_no.clone())
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        self.sign_within(message, Duration::MAX).await
    }

    async fn sign_within(&self, message: &[u8], left: Duration) -> Result<Signature, SignError> {
        let bytes = self.workers.sign(message, self.timeout.min(left)).await?;
        Ok(Signature::new(self.key.serial_no.clone(), bytes))
    }
}

impl fmt::Debug for Pkcs11Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Signer")
            .field("serial_no", &self.key.serial_no)
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
