//! The signer and the audit: both record what they see.

use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wxpay_auth::{Algorithm, FileKeySigner, SignError, Signature, Signer, async_trait};
use wxpay_transport::{Audit, AuditOutcome, AuditRecord};

/// A signature that was made.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(crate) path: String,
    pub(crate) nonce: String,
}

/// An audit record.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) attempt: u32,
    pub(crate) outcome: AuditOutcome,
    pub(crate) status: Option<u16>,
    pub(crate) request_id: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Written<T>(Arc<Mutex<Vec<T>>>);

impl<T> Written<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }

    fn push(&self, item: T) {
        self.lock().push(item);
    }

    /// Takes all entries.
    pub(crate) fn take(&self) -> Vec<T> {
        take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Signs like a file key, but with a delay like a key service.
#[derive(Debug)]
pub(crate) struct Notary {
    pub(crate) signer: FileKeySigner,
    pub(crate) signed: Written<Signed>,
}

#[async_trait]
impl Signer for Notary {
    fn algorithm(&self) -> Algorithm {
        self.signer.algorithm()
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        tokio::task::yield_now().await;
        let signature = self.signer.sign(message).await?;
        let mut lines = std::str::from_utf8(message).expect("text").lines();
        let (target, nonce) = (lines.nth(1).expect("a target"), lines.nth(1).expect("a nonce"));
        let path = target.split('?').next().unwrap_or_default().to_owned();
        self.signed.push(Signed { path, nonce: nonce.to_owned() });
        Ok(signature)
    }
}

impl Audit for Written<Record> {
    fn record(&self, record: &AuditRecord<'_>) {
        self.push(Record {
            path: record.path.to_owned(),
            host: record.host.to_owned(),
            attempt: record.attempt,
            outcome: record.outcome,
            status: record.status.map(|status| status.as_u16()),
            request_id: record.request_id.map(str::to_owned),
        });
    }
}
