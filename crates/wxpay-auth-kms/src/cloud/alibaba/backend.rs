//! The back end for Alibaba Cloud KMS.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderValue, Method, Request, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wxpay_auth_core::{Clock, NonceSource, PublicKey, SignErrorKind};

use super::SERVICE;
use super::acs3::{Acs3, query};
use super::builder::AlibabaKmsBuilder;
use super::error::read;
use crate::backend::{KmsBackend, KmsKey};
use crate::cloud::{
    AccessKeys, CredentialCache, Credentials, Kept, RequestFailure, header_value, iso, sha256_hex,
};
use crate::error::KmsError;
use crate::http::client::Http;
use crate::http::endpoint::Endpoint;

/// Signs with one version of a key in Alibaba Cloud KMS: of the kind `RSA_2048`, made for
/// `SIGN/VERIFY`.
///
/// It calls `GetPublicKey` and `AsymmetricSign` of the [API of 2016-01-20](
/// https://www.alibabacloud.com/help/en/kms/key-management-service/developer-reference/api-kms-2016-01-20-asymmetricsign).
/// The version is a part of each call: a new one, made with `CreateKeyVersion`, has another key pair,
/// and needs a certificate of its own. The service takes 200 signatures a second over the shared
/// gateway.
///
/// ```
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod kms { pub use wxpay_auth_kms::*; } }
/// use wxpay_auth::kms::{AlibabaKms, Credentials};
///
/// # fn main() -> Result<(), wxpay_auth::kms::KmsError> {
/// let (key, version) = ("key-hzz62f1cb66fa42qo", "2ab1a983-7072-4bbc-a582-584b5bd82537");
/// let kms = AlibabaKms::builder("cn-hangzhou", key, version)
///     .credentials(Credentials::new("LTAI…", "…"))
///     .build()?;
/// # let _ = kms;
/// # Ok(())
/// # }
/// ```
///
/// Hand it to [`KmsSigner::builder`](crate::KmsSigner::builder).
#[derive(Clone)]
pub struct AlibabaKms {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) region: String,
    pub(super) key_id: String,
    pub(super) key_version_id: String,
    pub(super) endpoint: Endpoint,
    pub(super) http: Http,
    pub(super) credentials: CredentialCache<AccessKeys>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) nonces: Arc<dyn NonceSource>,
}

const VERSION: &str = "2016-01-20";

impl AlibabaKms {
    /// Begins to set one up, for a region (`cn-hangzhou`), a key in it (its id, its ARN, or
    /// `alias/…`), and the id of one of its versions.
    pub fn builder(
        region: impl Into<String>,
        key_id: impl Into<String>,
        key_version_id: impl Into<String>,
    ) -> AlibabaKmsBuilder {
        AlibabaKmsBuilder::new(region.into(), key_id.into(), key_version_id.into())
    }

    pub(super) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// Calls an action on the version of the key, and checks that the response is about it.
    async fn call<T: DeserializeOwned>(
        &self,
        action: &'static str,
        more: &[(&str, &str)],
    ) -> Result<T, KmsError> {
        let Shared { key_id, key_version_id, credentials, http, .. } = &*self.shared;
        let mut parameters = vec![("KeyId", key_id.as_str()), ("KeyVersionId", key_version_id)];
        parameters.extend(more);
        let query = query(&parameters);
        let request = |credentials: Arc<Kept<Credentials>>| {
            let request = self.shared.request(action, &query, &credentials);
            async move {
                let response = http.send(request?).await?;
                read(&response, &credentials)
            }
        };
        let About { key_id, key_version_id, result } = credentials.with(request).await?;
        self.shared.check(&key_id, &key_version_id)?;
        Ok(result)
    }
}

impl Shared {
    fn request(
        &self,
        action: &'static str,
        query: &str,
        credentials: &Credentials,
    ) -> Result<Request<Vec<u8>>, RequestFailure> {
        let date = iso(self.clock.now())?;
        let nonce = self.nonces.nonce().map_err(|e| {
            KmsError::new(SignErrorKind::Other, "there is no nonce for the request").with_source(e)
        })?;
        let payload = sha256_hex(b"");
        let mut headers = vec![
            ("host", self.endpoint.authority()),
            ("x-acs-action", action),
            ("x-acs-content-sha256", &payload),
            ("x-acs-date", &date),
        ];
        headers.extend(credentials.session_token().map(|token| ("x-acs-security-token", token)));
        headers.extend([("x-acs-signature-nonce", nonce.as_str()), ("x-acs-version", VERSION)]);
        let authorization = Acs3 { query, headers: &headers }.authorization(credentials);
        headers.push(("authorization", &authorization));
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.endpoint.join(&format!("/?{query}"))?)
            // Which is not signed: only `host`, `content-type` and `x-acs-…` are.
            .header(header::ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            request = match name {
                "authorization" | "x-acs-security-token" => {
                    request.header(name, header_value(value)?)
                }
                _ => request.header(name, value),
            };
        }
        let request = request.body(Vec::new()).map_err(|e| {
            KmsError::setting("the request cannot be made", "report it").with_source(e)
        })?;
        Ok(request)
    }

    /// Refuses a response about another key, or another version of it.
    fn check(&self, key_id: &str, key_version_id: &str) -> Result<(), KmsError> {
        let other = |what: &str, id: &str| {
            let message = format!("{SERVICE} answered for the {what} {id}");
            Err(KmsError::setting(message, "check which service the endpoint leads to"))
        };
        // The response names the key behind an alias, and the id in an ARN.
        let asked = self.key_id.rsplit_once(":key/").map_or(self.key_id.as_str(), |(_, id)| id);
        let is_alias = asked.starts_with("alias/") || asked.contains(":alias/");
        if !is_alias && asked != key_id {
            return other("key", key_id);
        }
        if self.key_version_id != key_version_id {
            return other("key version", key_version_id);
        }
        Ok(())
    }
}

/// What a response is about, and the rest of it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct About<T> {
    key_id: String,
    key_version_id: String,
    #[serde(flatten)]
    result: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Got {
    /// PEM.
    public_key: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Signed {
    value: String,
}

#[async_trait]
impl KmsBackend for AlibabaKms {
    async fn public_key(&self) -> Result<KmsKey, KmsError> {
        let got: Got = self.call("GetPublicKey", &[]).await?;
        let key = KmsKey::new(PublicKey::from_pem(&got.public_key)?);
        Ok(key.with_version(&self.shared.key_version_id))
    }

    async fn sign_sha256(&self, _: &KmsKey, digest: &[u8; 32]) -> Result<Vec<u8>, KmsError> {
        let digest = BASE64.encode(digest);
        let more = [("Algorithm", "RSA_PKCS1_SHA_256"), ("Digest", digest.as_str())];
        let signed: Signed = self.call("AsymmetricSign", &more).await?;
        BASE64.decode(&signed.value).map_err(|e| {
            let message = format!("{SERVICE} answered with something that is not Base64");
            KmsError::new(SignErrorKind::Other, message).with_source(e)
        })
    }
}

impl std::fmt::Debug for AlibabaKms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlibabaKms")
            .field("region", &self.shared.region)
            .field("key_id", &self.shared.key_id)
            .field("key_version_id", &self.shared.key_version_id)
            .field("endpoint", &self.shared.endpoint)
            .field("credentials", &self.shared.credentials)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use wxpay_auth_core::Timestamp;

    use super::*;

    #[test]
    fn json_is_asked_for_and_secrets_are_marked() {
        let access_key = Credentials::new("LTAI", "hunter2").with_session_token("hunter3");
        let kms = AlibabaKms::builder("cn-hangzhou", "id", "version")
            .credentials(access_key.clone())
            .clock(|| Timestamp::from_unix_secs(1_698_315_752))
            .build()
            .unwrap();
        let request = kms.shared.request("GetPublicKey", "KeyId=id", &access_key).unwrap();
        assert_eq!(request.headers()["accept"], "application/json");
        let signed = request.headers()["authorization"].to_str().unwrap();
        assert!(!signed.contains("accept"), "{signed}");
        let sensitive = request.headers().iter().filter(|(_, value)| value.is_sensitive());
        let mut sensitive: Vec<_> = sensitive.map(|(name, _)| name.as_str()).collect();
        sensitive.sort_unstable();
        assert_eq!(sensitive, ["authorization", "x-acs-security-token"]);
        let broken = Credentials::new("LTAI", "hunter2").with_session_token("hunter3\n");
        let Err(RequestFailure::Other(error)) = kms.shared.request("GetPublicKey", "", &broken)
        else {
            panic!("a line break in a header")
        };
        assert!(error.to_string().contains("session token"), "{error}");
    }
}
