//! A signer connected by address.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use wxpay_auth_core::{Algorithm, PublicKey, SerialNo, SignError, Signature, Signer};

/// Signs with the key at a [`SignerUri`](super::SignerUri), and holds its public key, which a
/// [`CertificateRequest`](crate::CertificateRequest) needs.
#[derive(Clone)]
pub struct UriSigner {
    signer: Arc<dyn Signer>,
    public_key: PublicKey,
}

impl UriSigner {
    #[allow(dead_code, reason = "without features nobody makes one")]
    pub(super) fn new(public_key: PublicKey, signer: impl Signer + 'static) -> Self {
        Self { signer: Arc::new(signer), public_key }
    }

    /// Returns the public key that verifies the signatures.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// Returns the signer by value.
    pub fn into_signer(self) -> Arc<dyn Signer> {
        self.signer
    }
}

#[async_trait]
impl Signer for UriSigner {
    fn algorithm(&self) -> Algorithm {
        self.signer.algorithm()
    }

    fn next_serial_no(&self) -> Option<SerialNo> {
        self.signer.next_serial_no()
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        self.signer.sign(message).await
    }

    async fn sign_within(&self, message: &[u8], left: Duration) -> Result<Signature, SignError> {
        self.signer.sign_within(message, left).await
    }
}

impl fmt::Debug for UriSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UriSigner").field(&self.signer).finish()
    }
}
