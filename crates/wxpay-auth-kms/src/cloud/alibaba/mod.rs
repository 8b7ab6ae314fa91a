//! Alibaba Cloud KMS.

mod acs3;
mod api;
mod codes;
#[cfg(fuzzing)]
pub mod fuzzing;
mod role;

use std::fmt;
use std::sync::Arc;

use wxpay_auth_core::{NonceSource, SystemNonce};

use super::builder::{CloudKmsBuilder, build};
use super::kms::CloudKms;
use super::role::{CloudRole, role};
use crate::credentials::provider::Credentials;
use crate::error::KmsError;

/// The name of the service in errors.
const SERVICE: &str = "Alibaba Cloud KMS";

/// Alibaba Cloud, with one version of a key.
#[derive(Clone)]
pub struct AlibabaCloud {
    key_version_id: String,
    nonces: Arc<dyn NonceSource>,
}

impl fmt::Debug for AlibabaCloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlibabaCloud")
            .field("key_version_id", &self.key_version_id)
            .finish_non_exhaustive()
    }
}

/// Signs with one version of a key in Alibaba Cloud KMS, of the kind `RSA_2048` and the usage
/// `SIGN/VERIFY`, or decrypts sensitive fields with one of the usage `ENCRYPT/DECRYPT`
/// ([`KmsDecryptor`](crate::KmsDecryptor), [`AsymmetricDecrypt`](
/// https://www.alibabacloud.com/help/en/kms/key-management-service/developer-reference/api-kms-2016-01-20-asymmetricdecrypt)
/// with `RSAES_OAEP_SHA_1`). With which code the service refuses a field of another key is not documented: it is
/// a [`FieldDecryptError::Unavailable`](wxpay_auth_core::FieldDecryptError::Unavailable) with that code.
///
/// It calls `GetPublicKey` and `AsymmetricSign` of the [API of 2016-01-20](
/// https://www.alibabacloud.com/help/en/kms/key-management-service/developer-reference/api-kms-2016-01-20-asymmetricsign).
/// The version is a part of each call: a new version, created with `CreateKeyVersion`, has another
/// key pair and needs its own certificate. The service allows 200 signatures per second through the
/// shared gateway.
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
/// Pass it to [`KmsSigner::builder`](crate::KmsSigner::builder).
pub type AlibabaKms = CloudKms<AlibabaCloud>;

/// Sets up an [`AlibabaKms`]; created by [`AlibabaKms::builder`].
///
/// The address of the service is `https://kms.{region}.aliyuncs.com` by default. Others are
/// `https://kms-vpc.{region}.aliyuncs.com` within a VPC, and the address of a KMS instance, whose
/// CA must be set with [`tls`](CloudKmsBuilder::tls).
pub type AlibabaKmsBuilder = CloudKmsBuilder<AlibabaCloud>;

/// Provides access keys from the metadata service of an Alibaba Cloud instance (ECS) with a RAM
/// role.
///
/// The keys are temporary and are replaced before they expire. Requests follow the hardened mode of
/// the metadata service: they obtain a token first. Its address is `http://100.100.100.200` by
/// default. <https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata>
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
pub type AlibabaRole = CloudRole<AlibabaCloud>;

impl AlibabaKms {
    /// Returns a builder for a region (`cn-hangzhou`), a key in it (its id, its ARN, or `alias/…`),
    /// and the id of one of its versions.
    pub fn builder(
        region: impl Into<String>,
        key_id: impl Into<String>,
        key_version_id: impl Into<String>,
    ) -> AlibabaKmsBuilder {
        let nonces = Arc::new(SystemNonce::new());
        let cloud = AlibabaCloud { key_version_id: key_version_id.into(), nonces };
        CloudKmsBuilder::new(cloud, region.into(), key_id.into())
    }
}

impl AlibabaKmsBuilder {
    /// Reads the access key from `ALIBABA_CLOUD_ACCESS_KEY_ID`, `ALIBABA_CLOUD_ACCESS_KEY_SECRET`,
    /// and, if it is temporary, `ALIBABA_CLOUD_SECURITY_TOKEN`.
    ///
    /// # Errors
    /// [`KmsError`] if one of the first two is not set.
    pub fn credentials_from_env(self) -> Result<Self, KmsError> {
        const TOKEN: &str = "ALIBABA_CLOUD_SECURITY_TOKEN";
        let (id, secret) = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET");
        Ok(self.credentials(Credentials::variables(id, secret, TOKEN)?))
    }

    /// Sets the source of the request nonces.
    pub fn nonce_source(mut self, nonces: impl NonceSource + 'static) -> Self {
        self.cloud.nonces = Arc::new(nonces);
        self
    }

    /// Builds the back end. It reads the CA certificates of the platform: call it at start-up.
    ///
    /// # Errors
    /// [`KmsError`] if there are no credentials, or a setting is invalid.
    pub fn build(self) -> Result<AlibabaKms, KmsError> {
        build(self)
    }
}

impl AlibabaRole {
    /// Creates a provider for the role of this machine, whatever its name.
    ///
    /// # Errors
    /// [`KmsError`] if no HTTP client can be created.
    pub fn new() -> Result<Self, KmsError> {
        role()
    }
}

#[cfg(test)]
mod tests {
    use wxpay_auth_core::SignErrorKind;

    use super::*;
    use crate::http::endpoint::Endpoint;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let access_key = Credentials::new("LTAI", "hunter2");
        for (region, key_id, version) in [
            ("", "id", "version"),
            ("cn-hangzhou", "", "version"),
            ("cn-hangzhou", "id", ""),
            ("cn-hangzhou@elsewhere", "id", "version"),
            ("杭州", "id", "version"),
            ("cn/hangzhou", "id", "version"),
            ("cn:hangzhou", "id", "version"),
            ("cn.hangzhou", "id", "version"),
        ] {
            let builder = AlibabaKms::builder(region, key_id, version);
            let error = builder.credentials(access_key.clone()).build().unwrap_err();
            assert_eq!(error.kind(), SignErrorKind::Configuration);
        }
        let builder = AlibabaKms::builder("cn-hangzhou", "id", "version").credentials(access_key);
        let with_path = Endpoint::new("https://proxy.example/kms").unwrap();
        let error = builder.clone().endpoint(with_path).build().unwrap_err();
        assert!(error.to_string().starts_with("the endpoint has a path"), "{error}");
        builder.endpoint(Endpoint::new("https://proxy.example/").unwrap()).build().unwrap();
        let error = AlibabaKms::builder("cn-hangzhou", "id", "version").build().unwrap_err();
        assert_eq!(error.to_string(), "there is no access key");
    }

    #[test]
    fn secrets_are_not_shown() {
        let access_key = Credentials::new("LTAI", "hunter2").with_session_token("hunter3");
        let builder = AlibabaKms::builder("cn-hangzhou", "id", "version").credentials(access_key);
        let shown = format!("{builder:?} {:?}", builder.clone().build().unwrap());
        assert!(shown.contains("LTAI") && !shown.contains("hunter"), "{shown}");
        assert!(shown.contains("kms.cn-hangzhou.aliyuncs.com"), "{shown}");
    }
}
