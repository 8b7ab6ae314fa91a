//! The back end.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;

use super::builder::VaultTransitBuilder;
use super::client::Call;
use super::key::{KeyResponse, SignResponse};
use super::refusal::Doing;
use super::session::Session;
use super::token_renewal::TokenRenewal;
use crate::backend::{KmsBackend, KmsKey, does_not_decrypt};
use crate::error::KmsError;
use crate::http::endpoint::Endpoint;

/// Signs with a key in the Transit engine of `HashiCorp` Vault or OpenBao:
/// [Transit API](https://developer.hashicorp.com/vault/api-docs/secret/transit).
///
/// The policy of its token needs only `read` on `transit/keys/KEY` and `update` on
/// `transit/sign/KEY/sha2-256`. A task on the Tokio runtime that first uses the back end renews the
/// token, or a task on the next runtime if that one sleeps; the task ends when the last clone is
/// dropped. Redirects are not followed, and proxies of the environment are not used.
///
/// ```no_run
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod kms { pub use wxpay_auth_kms::*; } }
/// use wxpay_auth::Certificate;
/// use wxpay_auth::kms::{Endpoint, KmsSigner, Secret, VaultAuth, VaultTransit};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let vault = VaultTransit::builder(Endpoint::new("https://vault.internal:8200")?, "merchant")
///     .auth(VaultAuth::app_role("5f1c72e2-…", Secret::file("/run/secrets/secret_id")))
///     .build()?;
/// let certificate = Certificate::from_pem(std::fs::read("apiclient_cert.pem")?)?;
/// let signer = KmsSigner::builder(vault).certificate(certificate).connect().await?;
/// # let _ = signer;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct VaultTransit {
    pub(super) session: Arc<Session>,
    pub(super) renewal: Arc<TokenRenewal>,
    /// As in the path of a request.
    pub(super) mount: String,
    pub(super) key: String,
    pub(super) version: Option<u32>,
}

impl VaultTransit {
    /// Returns a builder for the key with this name.
    pub fn builder(endpoint: Endpoint, key: impl Into<String>) -> VaultTransitBuilder {
        VaultTransitBuilder::new(endpoint, key.into())
    }

    async fn ask<T, P: DeserializeOwned>(
        &self,
        call: Call<'_>,
        part: impl FnOnce(P) -> Option<T>,
    ) -> Result<T, KmsError> {
        self.renewal.watch(&self.session);
        self.session.ask(call, part).await
    }
}

#[async_trait]
impl KmsBackend for VaultTransit {
    async fn public_key(&self) -> Result<KmsKey, KmsError> {
        let path = format!("/v1/{}/keys/{}", self.mount, self.key);
        let call = Call { doing: Doing::Read, path: &path, body: None };
        self.ask(call, |part: KeyResponse| part.data).await?.version(self.version)
    }

    async fn sign_sha256(&self, key: &KmsKey, digest: &[u8; 32]) -> Result<Vec<u8>, KmsError> {
        let version = key.version().unwrap_or_default();
        // 0 would mean the latest version.
        let number: NonZeroU32 = version.parse().map_err(|_| {
            KmsError::setting(
                format!("{version:?} is not a version of a Transit key"),
                "sign with the key that public_key returns",
            )
        })?;
        let body = serde_json::json!({
            "input": STANDARD.encode(digest),
            "prehashed": true,
            // The default is PSS.
            "signature_algorithm": "pkcs1v15",
            "key_version": number,
        })
        .to_string();
        let path = format!("/v1/{}/sign/{}/sha2-256", self.mount, self.key);
        let call = Call { doing: Doing::Sign, path: &path, body: Some(body.as_bytes()) };
        self.ask(call, |part: SignResponse| part.data).await?.bytes(version)
    }

    async fn decryption_key(&self) -> Result<KmsKey, KmsError> {
        Err(does_not_decrypt(
            "Transit decrypts OAEP with SHA-256 only, and WeChat Pay encrypts with SHA-1",
        ))
    }
}

impl fmt::Debug for VaultTransit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = self.session.client();
        f.debug_struct("VaultTransit")
            .field("endpoint", &format_args!("{}", client.endpoint))
            .field("namespace", &client.namespace)
            .field("mount", &self.mount)
            .field("key", &self.key)
            .field("key_version", &self.version)
            .field("auth", self.session.tokens().source().auth())
            .finish_non_exhaustive()
    }
}
