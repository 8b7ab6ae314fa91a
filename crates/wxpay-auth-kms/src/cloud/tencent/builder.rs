//! The settings of the back end for Tencent Cloud KMS.

use std::sync::Arc;

use wxpay_auth_core::Clock;

use super::SERVICE;
use super::backend::{Shared, TencentKms};
use crate::cloud::{CredentialProvider, Credentials, Setup, name, region};
use crate::error::KmsError;
use crate::http::endpoint::Endpoint;
use crate::http::tls::KmsTls;

/// Sets up a [`TencentKms`]; [`TencentKms::builder`] makes one.
#[derive(Debug, Clone)]
#[must_use = "nothing happens until it is built"]
pub struct TencentKmsBuilder {
    region: String,
    key_id: String,
    setup: Setup,
}

const ENDPOINT: &str = "https://kms.tencentcloudapi.com";

impl TencentKmsBuilder {
    pub(super) fn new(region: String, key_id: String) -> Self {
        Self { region, key_id, setup: Setup::new() }
    }

    /// Sets the address of the service: `https://kms.tencentcloudapi.com` by default;
    /// `https://kms.internal.tencentcloudapi.com` from within a VPC. Its host is signed, and the path
    /// `/`: a proxy in between must keep both, and an endpoint with a path is refused.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.setup.endpoint = Some(endpoint);
        self
    }

    /// Sets where access keys come from: [`Credentials`] that are fixed, the
    /// [`TencentRole`](super::TencentRole) of the machine, or a provider of your own (OIDC in TKE,
    /// `AssumeRole`).
    pub fn credentials(mut self, credentials: impl CredentialProvider + 'static) -> Self {
        self.setup.credentials = Some(Arc::new(credentials));
        self
    }

    /// Takes the access key from `TENCENTCLOUD_SECRET_ID`, `TENCENTCLOUD_SECRET_KEY`, and
    /// `TENCENTCLOUD_TOKEN` where it is temporary.
    ///
    /// # Errors
    /// [`KmsError`] when one of the first two is not set.
    pub fn credentials_from_env(self) -> Result<Self, KmsError> {
        const TOKEN: &str = "TENCENTCLOUD_TOKEN";
        let (id, secret) = ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY");
        Ok(self.credentials(Credentials::variables(id, secret, TOKEN)?))
    }

    /// Sets whom to trust.
    pub fn tls(mut self, tls: KmsTls) -> Self {
        self.setup.tls = tls;
        self
    }

    /// Sets where the time comes from. Requests are signed with it.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.setup.clock = Arc::new(clock);
        self
    }

    /// Builds it. It reads the CA certificates of the platform: call it at start.
    ///
    /// # Errors
    /// [`KmsError`] when there are no credentials, or a setting makes no sense.
    pub fn build(self) -> Result<TencentKms, KmsError> {
        let Self { region, key_id, setup } = self;
        Ok(TencentKms::new(Shared {
            region: self::region(region)?,
            key_id: name("key id", key_id)?,
            http: setup.http(SERVICE)?,
            credentials: setup.cache()?,
            endpoint: setup.endpoint(ENDPOINT)?,
            clock: setup.clock,
        }))
    }
}

#[cfg(test)]
mod tests {
    use wxpay_auth_core::SignErrorKind;

    use super::*;

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
