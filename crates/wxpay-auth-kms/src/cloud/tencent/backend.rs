//! The back end for Tencent Cloud KMS.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderValue, Method, Request, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wxpay_auth_core::{Clock, PublicKey, SignErrorKind};

use super::SERVICE;
use super::builder::TencentKmsBuilder;
use super::error::read;
use super::tc3::Tc3;
use crate::backend::{KmsBackend, KmsKey};
use crate::cloud::{AccessKeys, CredentialCache, Credentials, Kept, RequestFailure, header_value};
use crate::error::KmsError;
use crate::http::client::Http;
use crate::http::endpoint::Endpoint;

/// Signs with a key in Tencent Cloud KMS: one made there for `ASYMMETRIC_SIGN_VERIFY_RSA_2048`.
///
/// It calls `GetPublicKey` and `SignByAsymmetricKey` of the
/// [API of 2019-01-18](https://cloud.tencent.com/document/product/573/34406), whose keys have no
/// versions: a rotation is a new key, with a new id. The service takes 100 signatures a second by
/// default.
///
/// ```
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod kms { pub use wxpay_auth_kms::*; } }
/// use wxpay_auth::kms::{Credentials, TencentKms};
///
/// # fn main() -> Result<(), wxpay_auth::kms::KmsError> {
/// let kms = TencentKms::builder("ap-guangzhou", "23e80852-1e38-11e9-b129-5cb9019b4b01")
///     .credentials(Credentials::new("AKID…", "…"))
///     .build()?;
/// # let _ = kms;
/// # Ok(())
/// # }
/// ```
///
/// Hand it to [`KmsSigner::builder`](crate::KmsSigner::builder).
#[derive(Clone)]
pub struct TencentKms {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) region: String,
    pub(super) key_id: String,
    pub(super) endpoint: Endpoint,
    pub(super) http: Http,
    pub(super) credentials: CredentialCache<AccessKeys>,
    pub(super) clock: Arc<dyn Clock>,
}

const VERSION: &str = "2019-01-18";
const CONTENT_TYPE: &str = "application/json; charset=utf-8";

impl TencentKms {
    /// Begins to set one up, for a region (`ap-guangzhou`) and the id of a key in it.
    pub fn builder(region: impl Into<String>, key_id: impl Into<String>) -> TencentKmsBuilder {
        TencentKmsBuilder::new(region.into(), key_id.into())
    }

    pub(super) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// Calls an action.
    async fn call<T: DeserializeOwned>(
        &self,
        action: &'static str,
        parameters: &impl Serialize,
    ) -> Result<T, KmsError> {
        let body = serde_json::to_vec(parameters).map_err(|e| {
            KmsError::setting("the request cannot be written", "report it").with_source(e)
        })?;
        let request = |credentials: Arc<Kept<Credentials>>| {
            let request = self.shared.request(action, body.clone(), &credentials);
            async move {
                let response = self.shared.http.send(request?).await?;
                read(&response, &credentials)
            }
        };
        self.shared.credentials.with(request).await
    }
}

impl Shared {
    fn request(
        &self,
        action: &'static str,
        body: Vec<u8>,
        credentials: &Credentials,
    ) -> Result<Request<Vec<u8>>, RequestFailure> {
        let (host, timestamp) = (self.endpoint.authority(), self.clock.now());
        let headers = [("content-type", CONTENT_TYPE), ("host", host), ("x-tc-action", action)];
        let signed = Tc3 { service: "kms", timestamp, headers: &headers, payload: &body };
        let authorization = header_value(&signed.authorization(credentials)?)?;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.endpoint.join("/")?)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))
            .header(header::AUTHORIZATION, authorization)
            .header("x-tc-action", action)
            .header("x-tc-version", VERSION)
            .header("x-tc-region", &self.region)
            .header("x-tc-timestamp", timestamp.as_unix_secs());
        if let Some(token) = credentials.session_token() {
            request = request.header("x-tc-token", header_value(token)?);
        }
        let request = request.body(body).map_err(|e| {
            KmsError::setting("the request cannot be made", "check region and endpoint")
                .with_source(e)
        })?;
        Ok(request)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetPublicKey<'a> {
    key_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Got {
    key_id: String,
    /// DER. What the service calls PEM is none: its Base64 is encoded twice.
    public_key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SignByAsymmetricKey<'a> {
    key_id: &'a str,
    algorithm: &'static str,
    message: &'a str,
    message_type: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Signed {
    signature: String,
}

#[async_trait]
impl KmsBackend for TencentKms {
    async fn public_key(&self) -> Result<KmsKey, KmsError> {
        let key_id = &self.shared.key_id;
        let got: Got = self.call("GetPublicKey", &GetPublicKey { key_id }).await?;
        if got.key_id != *key_id {
            let message = format!("{SERVICE} answered for the key {}", got.key_id);
            return Err(KmsError::setting(message, "check which service the endpoint leads to"));
        }
        let der = decode(&got.public_key)?;
        Ok(KmsKey::new(PublicKey::from_spki_der(&der)?))
    }

    async fn sign_sha256(&self, _: &KmsKey, digest: &[u8; 32]) -> Result<Vec<u8>, KmsError> {
        let parameters = SignByAsymmetricKey {
            key_id: &self.shared.key_id,
            algorithm: "RSA_PKCS1_SHA_256",
            message: &BASE64.encode(digest),
            message_type: "DIGEST",
        };
        let signed: Signed = self.call("SignByAsymmetricKey", &parameters).await?;
        decode(&signed.signature)
    }
}

fn decode(base64: &str) -> Result<Vec<u8>, KmsError> {
    BASE64.decode(base64).map_err(|e| {
        let message = format!("{SERVICE} answered with something that is not Base64");
        KmsError::new(SignErrorKind::Other, message).with_source(e)
    })
}

impl std::fmt::Debug for TencentKms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TencentKms")
            .field("region", &self.shared.region)
            .field("key_id", &self.shared.key_id)
            .field("endpoint", &self.shared.endpoint)
            .field("credentials", &self.shared.credentials)
            .finish_non_exhaustive()
    }
}
