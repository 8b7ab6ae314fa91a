//! A signer that tells a test when it has signed.

use std::sync::Arc;

use tokio::sync::Notify;
use wxpay_auth::{Algorithm, FileKeySigner, SignError, Signature, Signer, async_trait};

/// Signs with a key in a file, and then notifies.
#[derive(Debug)]
pub struct Tells(pub FileKeySigner, pub Arc<Notify>);

#[async_trait]
impl Signer for Tells {
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        let signature = self.0.sign(message).await;
        self.1.notify_one();
        signature
    }
}
