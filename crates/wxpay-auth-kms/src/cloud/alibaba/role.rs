//! The access key of the role of a machine in Alibaba Cloud.

use async_trait::async_trait;
use http::{HeaderValue, Method};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::cloud::{
    CredentialProvider, Credentials, Metadata, given, header_value, not_given, parse_iso,
};
use crate::error::KmsError;
use crate::http::endpoint::Endpoint;

/// Gets access keys from the metadata service of a machine in Alibaba Cloud (ECS) that has a RAM role.
///
/// They are temporary; new ones are asked for before they expire. The service is asked in the way
/// that its hardened mode wants: for a token first.
/// <https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata>
///
/// ```
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod kms { pub use wxpay_auth_kms::*; } }
/// use wxpay_auth::kms::{AlibabaKms, AlibabaRole};
///
/// # fn main() -> Result<(), wxpay_auth::kms::KmsError> {
/// let (key, version) = ("key-hzz62f1cb66fa42qo", "2ab1a983-7072-4bbc-a582-584b5bd82537");
/// let kms = AlibabaKms::builder("cn-hangzhou", key, version)
///     .credentials(AlibabaRole::new()?)
///     .build()?;
/// # let _ = kms;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AlibabaRole {
    name: Option<String>,
    metadata: Metadata,
}

const METADATA: &str = "http://100.100.100.200";
const TOKEN: &str = "/latest/api/token";
const FOLDER: &str = "/latest/meta-data/ram/security-credentials/";
/// In seconds: long enough for the two questions.
const TOKEN_LIFETIME: HeaderValue = HeaderValue::from_static("60");

impl AlibabaRole {
    /// Makes one for the role of this machine, whatever it is called.
    ///
    /// # Errors
    /// [`KmsError`] when no HTTP client can be made.
    pub fn new() -> Result<Self, KmsError> {
        Ok(Self { name: None, metadata: Metadata::new(METADATA)? })
    }

    /// Sets the name of the role, instead of asking for it.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the address of the metadata service: `http://100.100.100.200` by default. It is plain HTTP: `https` is
    /// refused when it is asked.
    #[must_use]
    pub fn metadata(mut self, endpoint: Endpoint) -> Self {
        self.metadata.endpoint = endpoint;
        self
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    code: Option<String>,
    access_key_id: Option<String>,
    access_key_secret: Option<Zeroizing<String>>,
    security_token: Option<Zeroizing<String>>,
    expiration: Option<String>,
}

#[async_trait]
impl CredentialProvider for AlibabaRole {
    async fn credentials(&self) -> Result<Credentials, KmsError> {
        let lifetime = [("x-aliyun-ecs-metadata-token-ttl-seconds", TOKEN_LIFETIME)];
        let response = self.metadata.ask(Method::PUT, TOKEN, &lifetime).await?;
        let token = str::from_utf8(&response.body).map_err(|_| not_given(None))?.trim();
        let token = [("x-aliyun-ecs-metadata-token", header_value(token)?)];
        let name = self.metadata.role(self.name.as_deref(), FOLDER, &token).await?;
        let response = self.metadata.get(&format!("{FOLDER}{name}"), &token).await?;
        let found: Given = response.json()?;
        let end = found.expiration.as_deref().and_then(parse_iso);
        match (found.access_key_id, found.access_key_secret, found.security_token, end) {
            (Some(id), Some(secret), Some(token), Some(end)) => {
                given(found.code.as_deref(), id, &secret, &token, end)
            }
            _ => Err(not_given(found.code.as_deref())),
        }
    }
}
