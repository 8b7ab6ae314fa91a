//! Tencent Cloud KMS.

mod api;
mod codes;
#[cfg(fuzzing)]
pub mod fuzzing;
mod role;
mod tc3;

use super::builder::{CloudKmsBuilder, build};
use super::kms::CloudKms;
use super::role::{CloudRole, role};
use crate::credentials::provider::Credentials;
use crate::error::KmsError;

/// The name of the service in errors.
const SERVICE: &str = "Tencent Cloud KMS";

/// Tencent Cloud.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TencentCloud;

/// Signs with a key in Tencent Cloud KMS, created for `ASYMMETRIC_SIGN_VERIFY_RSA_2048`.
///
/// It calls `GetPublicKey` and `SignByAsymmetricKey` of the [API of
/// 2019-01-18](https://cloud.tencent.com/document/product/573/34406), whose keys have no versions:
/// a rotation is a new key, with a new id. The service allows 100 signatures per second by default.
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
/// Pass it to [`KmsSigner::builder`](crate::KmsSigner::builder).
pub type TencentKms = CloudKms<TencentCloud>;

/// Sets up a [`TencentKms`]; created by [`TencentKms::builder`].
///
/// The address of the service is `https://kms.tencentcloudapi.com` by default, and
/// `https://kms.internal.tencentcloudapi.com` within a VPC.
pub type TencentKmsBuilder = CloudKmsBuilder<TencentCloud>;

/// Provides access keys from the metadata service of a Tencent Cloud instance (CVM) with a role.
///
/// The keys are temporary and are replaced before they expire. The address of the metadata service
/// is `http://metadata.tencentyun.com` by default.
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
pub type TencentRole = CloudRole<TencentCloud>;

impl TencentKms {
    /// Returns a builder for a region (`ap-guangzhou`) and the id of a key in it.
    pub fn builder(region: impl Into<String>, key_id: impl Into<String>) -> TencentKmsBuilder {
        CloudKmsBuilder::new(TencentCloud, region.into(), key_id.into())
    }
}

impl TencentKmsBuilder {
    /// Reads the access key from `TENCENTCLOUD_SECRET_ID`, `TENCENTCLOUD_SECRET_KEY`, and, if it is
    /// temporary, `TENCENTCLOUD_TOKEN`.
    ///
    /// # Errors
    /// [`KmsError`] if one of the first two is not set.
    pub fn credentials_from_env(self) -> Result<Self, KmsError> {
        const TOKEN: &str = "TENCENTCLOUD_TOKEN";
        let (id, secret) = ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY");
        Ok(self.credentials(Credentials::variables(id, secret, TOKEN)?))
    }

    /// Builds the back end. It reads the CA certificates of the platform: call it at start-up.
    ///
    /// # Errors
    /// [`KmsError`] if there are no credentials, or a setting is invalid.
    pub fn build(self) -> Result<TencentKms, KmsError> {
        build(self)
    }
}

impl TencentRole {
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
        let access_key = Credentials::new("AKID", "hunter2");
        for (region, key_id) in [
            ("", "id"),
            ("ap-guangzhou", ""),
            ("ap\nx: y", "id"),
            ("广州", "id"),
            ("ap/guangzhou", "id"),
            ("ap:guangzhou", "id"),
            ("ap.guangzhou", "id"),
        ] {
            let built = TencentKms::builder(region, key_id).credentials(access_key.clone()).build();
            assert_eq!(built.unwrap_err().kind(), SignErrorKind::Configuration);
        }
        let builder = TencentKms::builder("ap-guangzhou", "id").credentials(access_key);
        let with_path = Endpoint::new("https://proxy.example/kms").unwrap();
        let error = builder.clone().endpoint(with_path).build().unwrap_err();
        assert!(error.to_string().starts_with("the endpoint has a path"), "{error}");
        builder.endpoint(Endpoint::new("https://proxy.example/").unwrap()).build().unwrap();
        let error = TencentKms::builder("ap-guangzhou", "id").build().unwrap_err();
        assert_eq!(error.to_string(), "there is no access key");
    }

    #[test]
    fn secrets_are_not_shown() {
        let access_key = Credentials::new("AKID", "hunter2").with_session_token("hunter3");
        let builder = TencentKms::builder("ap-guangzhou", "id").credentials(access_key);
        let shown = format!("{builder:?} {:?}", builder.clone().build().unwrap());
        assert!(shown.contains("AKID") && !shown.contains("hunter"), "{shown}");
    }
}
