//! The access key of the role of a machine in Tencent Cloud.

use async_trait::async_trait;
use serde::Deserialize;
use wxpay_auth_core::Timestamp;
use zeroize::Zeroizing;

use crate::cloud::{CredentialProvider, Credentials, Metadata, given, not_given};
use crate::error::KmsError;
use crate::http::endpoint::Endpoint;

/// Gets access keys from the metadata service of a machine in Tencent Cloud (CVM) that has a role.
///
/// They are temporary; new ones are asked for before they expire.
/// <https://cloud.tencent.com/document/product/213/4934>
///
/// ```
/// # mod wxpay_auth { pub use wxpay_auth_core::*; pub mod kms { pub use wxpay_auth_kms::*; } }
/// use wxpay_auth::kms::{TencentKms, TencentRole};
///
/// # fn main() -> Result<(), wxpay_auth::kms::KmsError> {
/// let kms = TencentKms::builder("ap-guangzhou", "23e80852-1e38-11e9-b129-5cb9019b4b01")
///     .credentials(TencentRole::new()?)
///     .build()?;
/// # let _ = kms;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TencentRole {
    name: Option<String>,
    metadata: Metadata,
}

const METADATA: &str = "http://metadata.tencentyun.com";
const FOLDER: &str = "/latest/meta-data/cam/security-credentials/";

impl TencentRole {
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

    /// Sets the address of the metadata service: `http://metadata.tencentyun.com` by default. It is plain HTTP: `https` is
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
    tmp_secret_id: Option<String>,
    tmp_secret_key: Option<Zeroizing<String>>,
    token: Option<Zeroizing<String>>,
    expired_time: Option<u64>,
}

#[async_trait]
impl CredentialProvider for TencentRole {
    async fn credentials(&self) -> Result<Credentials, KmsError> {
        let name = self.metadata.role(self.name.as_deref(), FOLDER, &[]).await?;
        let response = self.metadata.get(&format!("{FOLDER}{name}"), &[]).await?;
        let found: Given = response.json()?;
        match (found.tmp_secret_id, found.tmp_secret_key, found.token, found.expired_time) {
            (Some(id), Some(secret), Some(token), Some(end)) => {
                let end = Timestamp::from_unix_secs(end);
                given(found.code.as_deref(), id, &secret, &token, end)
            }
            _ => Err(not_given(found.code.as_deref())),
        }
    }
}
